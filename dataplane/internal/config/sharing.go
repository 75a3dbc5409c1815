package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/share"
)

// sharing is where the exports and imports of an account stand.
type sharing struct {
	account          string
	terms            *share.Terms
	exports, imports []node // as in terms
}

// addSharing puts in the keys of what an account shares.
func (f *file) addSharing(t table, name string, terms **share.Terms) {
	at := -1
	mine := func() *sharing {
		if at < 0 {
			at = len(f.sharing)
			f.sharing = append(f.sharing, sharing{account: name, terms: made(terms)})
		}
		return &f.sharing[at]
	}
	t.add(func(n node) { f.exports(n, mine()) }, "exports")
	t.add(func(n node) { f.imports(n, mine()) }, "imports")
}

func (f *file) exports(n node, s *sharing) {
	elements, ok := n.elements()
	if !ok {
		f.problem(n, "%s must be an array of exports, not %s", n.key, kind(n.value))
		return
	}
	for _, e := range elements {
		if made, ok := f.export(e); ok {
			s.terms.Exports = append(s.terms.Exports, made)
			s.exports = append(s.exports, e)
		}
	}
}

// export reads one export.
func (f *file) export(n node) (share.Export, bool) {
	var e share.Export
	var stream, service string
	var ofService []node // keys that only services have
	before := len(f.problems)
	n.key = "an export"
	t := table{}
	t.add(f.str(&stream), "stream")
	t.add(f.str(&service), "service")
	t.add(func(n node) { e.Accounts, _ = f.strs(n) }, "accounts")
	t.add(integer(&f.reader, &e.Position, 0, math.MaxUint8), "account_token_position")
	only := func(read func(node), names ...string) {
		t.add(func(n node) {
			ofService = append(ofService, n)
			read(n)
		}, names...)
	}
	only(func(n node) { e.Response = f.response(n) }, "response", "response_type")
	only(f.text(f.duration(&e.Threshold, false)), "threshold", "response_threshold", "response_max_time", "response_time")
	only(func(n node) { e.Latency = f.latency(n) }, "latency")
	only(f.boolean(&e.AllowTrace), "allow_trace")
	f.block(n, t)
	if e.Subject = stream; service != "" {
		e.Kind, e.Subject = share.Service, service
	}
	switch {
	case stream != "" && service != "":
		f.problem(n, "there cannot be both a stream and a service in one export")
	case e.Subject == "" && len(f.problems) == before:
		f.problem(n, "an export needs a stream or a service")
	case e.Kind == share.Stream:
		for _, n := range ofService {
			f.problem(n, "%s is for services only", n.key)
		}
	}
	return e, len(f.problems) == before
}

// text lets through what is text.
func (f *file) text(read func(node)) func(node) {
	return func(n node) {
		if _, ok := as[string](&f.reader, n, "a duration such as \"2m\""); ok {
			read(n)
		}
	}
}

func (f *file) response(n node) share.Response {
	v, ok := as[string](&f.reader, n, "a string")
	switch strings.ToLower(v) {
	case "single", "singleton":
	case "stream":
		return share.Streamed
	case "chunk", "chunked":
		return share.Chunked
	default:
		if ok {
			f.problem(n, "unknown response type: %q", v)
		}
	}
	return share.Singleton
}

// latency reads where the latency of a service is told: a subject, or that and
// how many requests are measured.
func (f *file) latency(n node) *share.Latency {
	l := &share.Latency{Percent: 100}
	if to, ok := n.value.(string); ok {
		l.Results = to
		return l
	}
	t := table{}
	t.add(f.str(&l.Results), "subject")
	t.add(func(n node) { l.Percent = f.latencySampling(n) }, "sampling")
	before := len(f.problems)
	if f.block(n, t); l.Results == "" && len(f.problems) == before {
		f.problem(n, "latency subject required, but missing")
	}
	return l
}

// latencySampling reads a percentage; 0 is for what headers ask for.
func (f *file) latencySampling(n node) int {
	var percent int64
	switch v := n.value.(type) {
	case int64:
		percent = v
	case string:
		if strings.EqualFold(strings.TrimSpace(v), "headers") {
			return 0
		}
		i, err := strconv.ParseInt(strings.TrimSuffix(v, "%"), 10, 64)
		if err != nil {
			f.problem(n, "sampling is %q, which is no percentage, nor \"headers\"", v)
			return 0
		}
		percent = i
	default:
		f.problem(n, "sampling must be a percentage or \"headers\", not %s", kind(v))
		return 0
	}
	if percent < 1 || percent > 100 {
		f.problem(n, "bad sampling percentage, should be 1-100")
		return 0
	}
	return int(percent)
}

func (f *file) imports(n node, s *sharing) {
	elements, ok := n.elements()
	if !ok {
		f.problem(n, "%s must be an array of imports, not %s", n.key, kind(n.value))
		return
	}
	for _, e := range elements {
		if made, ok := f.importOf(e); ok {
			s.terms.Imports = append(s.terms.Imports, made)
			s.imports = append(s.imports, e)
		}
	}
}

// importOf reads one import.
func (f *file) importOf(n node) (share.Import, bool) {
	var im share.Import
	var prefix, to string
	found := 0
	before := len(f.problems)
	n.key = "an import"
	source := func(k share.Kind) func(node) {
		return func(n node) {
			im.Kind = k
			found++
			f.source(n, &im)
		}
	}
	var onlyStream, onlyService []node
	t := table{}
	t.add(source(share.Stream), "stream")
	t.add(source(share.Service), "service")
	t.add(f.str(&to), "to")
	t.add(func(n node) { onlyStream = append(onlyStream, n); f.str(&prefix)(n) }, "prefix")
	t.add(func(n node) { onlyStream = append(onlyStream, n); f.boolean(&im.AllowTrace)(n) }, "allow_trace")
	t.add(func(n node) { onlyService = append(onlyService, n); f.boolean(&im.Share)(n) }, "share")
	f.block(n, t)
	im.Local = to
	switch {
	case len(f.problems) > before:
	case found == 0:
		f.problem(n, "an import needs a stream or a service")
	case found > 1:
		f.problem(n, "there cannot be both a stream and a service in one import")
	case im.Kind == share.Service:
		for _, n := range onlyStream {
			f.problem(n, "%s is for streams only", n.key)
		}
	case len(onlyService) > 0:
		f.problem(onlyService[0], "%s is for services only", onlyService[0].key)
	case prefix != "" && to != "":
		f.problem(n, "stream import can not have a 'prefix' and a 'to' property")
	case prefix != "":
		local, err := share.Prefixed(prefix, im.Subject)
		if err != nil {
			f.problem(n, "error adding stream import %q: %v", im.Subject, err)
		}
		im.Local = local
	}
	return im, len(f.problems) == before
}

// source reads the account and the subject of an import.
func (f *file) source(n node, im *share.Import) {
	t := table{}
	t.add(f.str(&im.Account), "account")
	t.add(f.str(&im.Subject), "subject")
	before := len(f.problems)
	f.block(n, t)
	if len(f.problems) == before && (im.Account == "" || im.Subject == "") {
		f.problem(n, "expect an account name and a subject")
	}
}

// checkSharing sees whether imports and exports fit together.
func (f *file) checkSharing() {
	a := &f.o.Access
	var sides []*share.Side
	byImport := make(map[*share.Import]node)
	sharing := make(map[string]bool)
	for i := range f.sharing {
		s := &f.sharing[i]
		f.checkExports(s)
		sides = append(sides, &share.Side{Key: s.account, Terms: s.terms})
		sharing[s.account] = true
		for j := range s.terms.Imports {
			byImport[&s.terms.Imports[j]] = s.imports[j]
		}
	}
	for _, name := range a.AccountNames() {
		if !sharing[name] {
			sides = append(sides, &share.Side{Key: name})
		}
	}
	share.Verify(sides, time.Now(), func(_ *share.Side, im *share.Import, err error) {
		if n := byImport[im]; errors.Is(err, share.ErrUnknown) {
			f.problem(n, "%q account not defined for %s import", im.Account, im.Kind)
		} else {
			f.problem(n, "error adding %s import %q: %v", im.Kind, im.Subject, err)
		}
	})
}

func (f *file) checkExports(s *sharing) {
	a := &f.o.Access
	_, noSystem := f.defined["no_system_account"]
	for i := range s.terms.Exports {
		e, n := &s.terms.Exports[i], s.exports[i]
		for _, name := range e.Accounts {
			if name == auth.GlobalAccount || name != auth.SystemAccount && a.Limits(name) == nil {
				f.problem(n, "%q account not defined for %s export", name, e.Kind)
			}
		}
		if err := e.Check(); err != nil {
			f.problem(n, "error adding %s export %q: %v", e.Kind, e.Subject, err)
		}
		if e.Latency == nil {
			continue
		}
		err := s.terms.CheckLatency(e)
		if noSystem {
			err = errors.New("system account not setup")
		}
		if err != nil {
			f.problem(n, "error adding service latency sampling for %q on subject %q: %v", e.Subject, e.Latency.Results, err)
		}
	}
}
