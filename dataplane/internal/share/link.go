package share

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/subject"
	"github.com/coveymq/covey/dataplane/internal/transform"
)

// Errors of NewLink, in nats-server's words.
var (
	ErrStreamAuthorization  = errors.New("stream import not authorized")
	ErrServiceAuthorization = errors.New("service import not authorized")
	ErrPrefix               = errors.New("stream import prefix can not contain wildcard tokens")
	ErrDuplicate            = errors.New("stream import already exists")
	ErrCycle                = errors.New("import forms a cycle")
	ErrDepth                = errors.New("search cycle depth exhausted")
	ErrSubject              = errors.New("invalid subject")
	// ErrUnknown is an exporter that is not there.
	ErrUnknown = errors.New("the exporting account is not known")
)

// Side is an account as those see it that import from it.
type Side struct {
	Key   string
	Terms *Terms
	Links []*Link // what it imports, as far as it is in force
	// Signs reports whether a key may sign activation tokens for the account. Nil
	// is no key at all.
	Signs func(key string) bool
}

// Link is an import that the exporter allows. Immutable.
type Link struct {
	Import *Import
	Export *Export
	// Remote are the subjects in the exporter's account, Local those here; both
	// with wildcards.
	Remote, Local string
	Until         int64 // Unix second at which the activation token expires; 0 for never

	forth *transform.Transform // from the other side to here; nil if nothing changes
	back  *transform.Transform // from here to the other side; nil if nothing changes
}

// NewLink returns the link of an import of an account, or why there is none.
// Look returns the other accounts; nil for those that are not there.
func NewLink(importer *Side, im *Import, look func(key string) *Side, now time.Time) (*Link, error) {
	from := look(im.Account)
	if from == nil {
		return nil, ErrUnknown
	}
	if !subject.Valid(im.Subject) || !subject.Valid(im.To()) {
		return nil, ErrSubject
	}
	l := &Link{Import: im}
	ok := false
	if l.Export = from.Terms.export(im.Kind, im.Subject); l.Export != nil {
		l.Until, ok = l.Export.admits(from, importer.Key, im, now)
	}
	switch {
	case !ok && im.Kind == Service:
		return nil, ErrServiceAuthorization
	case !ok:
		return nil, ErrStreamAuthorization
	}
	if err := formsCycle(importer.Key, from, im, look); err != nil {
		return nil, err
	}
	l.Remote, l.Local = im.Subject, im.To()
	if subject.HasWildcard(im.Subject) {
		l.Local = transform.Pattern(im.To())
	}
	if err := l.repeats(importer); err != nil && im.Kind == Service {
		return nil, err
	}
	if err := l.rewriting(); err != nil {
		return nil, err
	}
	return l, l.repeats(importer)
}

// rewriting prepares how subjects change on their way.
func (l *Link) rewriting() (err error) {
	im := l.Import
	if !subject.HasWildcard(im.Subject) || im.Subject == im.To() {
		return nil
	}
	if l.forth, err = transform.NewStrict(im.Subject, transform.Numbered(im.To())); err == nil {
		l.back, err = l.forth.Reverse()
	}
	if err != nil {
		from, to := im.Subject, im.To() // as messages go
		if im.Kind == Service {
			from, to = to, from
		}
		return fmt.Errorf("failed to create mapping transform for %s import subject from %q to %q: %w", im.Kind, from, to, err)
	}
	return nil
}

// repeats refuses an import that there is already.
func (l *Link) repeats(importer *Side) error {
	for _, o := range importer.Links {
		if o.Import.Kind != l.Import.Kind || o.Import.Account != l.Import.Account {
			continue
		}
		if l.Import.Kind == Stream && o.Remote == l.Remote {
			return ErrDuplicate
		}
		if l.Import.Kind == Service && o.Local == l.Local {
			return fmt.Errorf("duplicate service import subject %q, previously used in import for account %q, subject %q",
				l.Local, o.Import.Account, o.Remote)
		}
	}
	return nil
}

// Same reports whether two links mean the same.
func (l *Link) Same(o *Link) bool {
	return l.Import.Same(o.Import) && (l.Import.Kind == Stream || l.Export == o.Export)
}

// Same reports whether two imports mean the same, whatever token comes with them.
func (im *Import) Same(o *Import) bool {
	return im.Kind == o.Kind && im.Account == o.Account && im.Subject == o.Subject && im.To() == o.To() &&
		im.Share == o.Share && im.AllowTrace == o.AllowTrace
}

// AppendLocal appends what a subject of the other side is here.
func (l *Link) AppendLocal(dst, s []byte) []byte {
	switch {
	case l.forth != nil:
		return l.forth.Append(dst, s)
	case l.Remote == l.Local:
		return append(dst, s...)
	}
	return append(dst, l.Local...)
}

// AppendRemote appends what a subject here is on the other side.
func (l *Link) AppendRemote(dst, s []byte) []byte {
	switch {
	case l.back != nil:
		return l.back.Append(dst, s)
	case l.Remote == l.Local:
		return append(dst, s...)
	}
	return append(dst, l.Remote...)
}

// Wanted returns what a subscription here wants of the other side; false if
// nothing.
func (l *Link) Wanted(sub string) (string, bool) {
	both, ok := subject.Intersection(sub, l.Local)
	if !ok {
		return "", false
	}
	return string(l.AppendRemote(nil, []byte(both))), true
}

// export returns the export that an import is of.
func (t *Terms) export(k Kind, s string) *Export {
	if t == nil {
		return nil
	}
	var found *Export
	for i := range t.Exports {
		e := &t.Exports[i]
		switch {
		case e.Kind != k:
		case e.Subject == s:
			return e
		case found == nil && subject.Matches(s, e.Subject):
			found = e
		}
	}
	return found
}

// Prefixed returns the local subject of a stream under a prefix.
func Prefixed(prefix, s string) (string, error) {
	if subject.HasWildcard(prefix) {
		return "", ErrPrefix
	}
	if prefix != "" && !strings.HasSuffix(prefix, ".") {
		prefix += "."
	}
	return prefix + s, nil
}
