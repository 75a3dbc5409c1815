package route

import (
	"encoding/json"
	"slices"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/permission"
)

// Permissions say what crosses routes. Import is what our clients may get from
// other brokers, Export what others' clients may get from us; nil for all.
type Permissions struct {
	Import, Export *Subjects
}

// Subjects are allowed, if there are any, and denied.
type Subjects struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

func (s *Subjects) permission() jwt.Permission {
	if s == nil {
		return jwt.Permission{}
	}
	return jwt.Permission{Allow: s.Allow, Deny: s.Deny}
}

// set compiles the permissions: import as publishing, export as subscribing, as
// nats-server takes them. It is nil when all is allowed.
func (p *Permissions) set() *permission.Set {
	return permission.New(&jwt.Permissions{Pub: p.Import.permission(), Sub: p.Export.permission()})
}

func (s *Subjects) json() json.RawMessage {
	if s == nil {
		return nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil // lists of strings can always be encoded
	}
	return b
}

// restrict notes that what goes over the link must be checked, if so.
func (l *link) restrict() {
	if l.allowed.Load() != nil {
		l.out.Flags.Or(egress.Filtered)
	}
}

// imports reports whether the peer is told of interest in a subject.
func (l *link) imports(subject string) bool { return imports(l.allowed.Load(), subject) }

func imports(s *permission.Set, subject string) bool { return s.Publish([]byte(subject)) }

// exportable reports whether the peer's interest is taken.
func (l *link) exportable(w want) bool { return l.allowed.Load().Subscribe(w.subject, w.queue) }

// Admits reports whether a message may go to the peer.
func (l *link) Admits(subject []byte) bool {
	return l.allowed.Load().Deliver(subject, "")
}

// permit puts other permissions in force on a link that stands: the peer hears of
// interest that may be imported now, or may not any more, and what it wants that may
// not be exported any more is dropped. What may be exported now it tells us again,
// when it hears of the change.
func (l *link) permit(set *permission.Set, tenants []*tenant, line []byte) {
	before := l.allowed.Swap(set)
	l.restrict()
	l.out.Post(line)
	for _, t := range tenants {
		t.permit(l, before)
	}
}

func (t *tenant) permit(l *link, before *permission.Set) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.live.Load()
	for w, sub := range t.remote[l] {
		if l.exportable(w) {
			continue
		}
		delete(t.remote[l], w)
		l.wantCount.Add(-1)
		if a != nil {
			a.Index.Remove(sub)
		}
	}
	if a == nil {
		return
	}
	a.Index.Watch(t, func(each func(func(string, string, int))) {
		t.outMu.Lock()
		defer t.outMu.Unlock()
		if !slices.Contains(t.outs, l) {
			return
		}
		var b []byte
		each(func(subject, queue string, members int) {
			switch was, is := imports(before, subject), l.imports(subject); {
			case is && !was:
				b = t.append(b, l, subject, queue, members)
			case was && !is:
				b = t.append(b, l, subject, queue, 0)
			}
		})
		if len(b) > 0 {
			l.out.Post(b)
		}
	})
}
