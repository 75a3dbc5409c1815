package conn_test

import (
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"
	"pgregory.net/rapid"
)

// offer is something that each tenant may export and those after it import: only
// in one direction, so that nothing goes in circles.
type offer struct {
	kind          jwt.ExportType
	remote, local string
	private       bool // importers need a token, which the exporter may revoke
}

var offers = []offer{
	{jwt.Stream, "a.>", "x.a.>", false},
	{jwt.Stream, "b.*", "", true},
	{jwt.Service, "b.b", "", false},
	{jwt.Service, "a.*.*", "b.$2.$1", false},
}

// shares is what a tenant gives and takes, by the offer's number.
type shares struct {
	given   [4]bool
	taken   map[int][4]bool // by the exporter's place
	revoked map[int]bool    // whose tokens count no more
	bare    map[int]bool    // by the exporter's place: imports come without tokens
}

// translate rewrites a literal subject by a pair of patterns, the model's way:
// the reply is nil if the first does not match.
func translate(s, from, to []string) []string {
	wild := map[string]string{}
	n := 0
	for i, p := range from {
		switch {
		case p == ">":
			if i >= len(s) {
				return nil
			}
			return append(fillIn(to[:len(to)-1], wild), s[i:]...)
		case i >= len(s):
			return nil
		case p == "*":
			n++
			wild["$"+string(rune('0'+n))] = s[i]
			wild["*"+string(rune('0'+n))] = s[i]
		case strings.HasPrefix(p, "$"):
			wild[p] = s[i]
		case p != s[i]:
			return nil
		}
	}
	if len(s) != len(from) {
		return nil
	}
	return fillIn(to, wild)
}

func fillIn(to []string, wild map[string]string) []string {
	var out []string
	n := 0
	for _, p := range to {
		if p == "*" {
			n++
			p = "*" + string(rune('0'+n))
		}
		if v, ok := wild[p]; ok {
			p = v
		}
		out = append(out, p)
	}
	return out
}

// inForce returns the offers that one tenant imports from another.
func (w *world) inForce(importer, exporter int, kind jwt.ExportType) []offer {
	var out []offer
	for i, o := range offers {
		e := &w.tenants[exporter].shares
		if o.kind == kind && e.given[i] && w.tenants[importer].shares.taken[exporter][i] && (!o.private || !e.revoked[importer] && !w.tenants[importer].shares.bare[exporter]) {
			out = append(out, o)
		}
	}
	return out
}

// expect adds who gets a message that is published in an account, or came there
// through a service.
func (w *world) expect(s *sending, at int, subject []string, through bool) {
	subject = w.rewritten(at, subject)
	group := map[string][]receiver{}
	w.hearers(s, group, at, subject)
	for i := at + 1; i < len(w.tenants) && !through; i++ {
		for _, o := range w.inForce(i, at, jwt.Stream) {
			to := o.remote
			if o.local != "" {
				to = o.local
			}
			if local := translate(subject, strings.Split(o.remote, "."), strings.Split(to, ".")); local != nil {
				w.hearers(s, group, i, local)
			}
		}
	}
	for _, members := range group {
		s.groups = append(s.groups, members)
	}
	for e := range at {
		for _, o := range w.inForce(at, e, jwt.Service) {
			from := o.remote
			if o.local != "" {
				from = o.local
			}
			if remote := translate(subject, strings.Split(from, "."), strings.Split(o.remote, ".")); remote != nil {
				if o.local != "" { // `a.*.*` is `b.$2.$1` there: the wildcards change places
					remote = []string{"a", subject[2], subject[1]}
				}
				w.expect(s, e, remote, true)
			}
		}
	}
}

// hearers adds the subscriptions of a tenant that match.
func (w *world) hearers(s *sending, group map[string][]receiver, of int, subject []string) {
	for _, d := range w.live() {
		if d.tenant != w.tenants[of] {
			continue
		}
		for sid, sub := range d.subs {
			r := receiver{d, sid}
			switch {
			case !modelMatches(subject, strings.Split(sub.subject, ".")):
			case sub.queue == "":
				s.plain = append(s.plain, r)
			case !slices.Contains(group[sub.queue], r):
				group[sub.queue] = append(group[sub.queue], r)
			}
		}
	}
}

// shareMuch begins with most of what can be shared.
func (w *world) shareMuch(rt *rapid.T) {
	for i, a := range w.tenants {
		for o := range offers {
			a.shares.given[o] = evenly(rt, 4, "given") > 0
		}
		for e := range i {
			var taken [4]bool
			for o := range taken {
				taken[o] = evenly(rt, 4, "taken") > 0
			}
			a.shares.taken[e] = taken
		}
		for m := range a.mapped {
			a.mapped[m] = evenly(rt, 4, "mapped") == 0
		}
		w.claim(a)
		w.source.Put(a.Key, a.Token())
	}
}

// give lets a tenant export something, or not any more.
func (w *world) give(rt *rapid.T) {
	a := oneOf(rt, w.tenants, "tenant")
	i := evenly(rt, len(offers), "offer")
	a.shares.given[i] = !a.shares.given[i]
	w.share(rt, a)
}

// takeOver lets a tenant import something, or not any more.
func (w *world) takeOver(rt *rapid.T) {
	importer := 1 + evenly(rt, len(w.tenants)-1, "importer")
	exporter := evenly(rt, importer, "exporter")
	i := evenly(rt, len(offers), "offer")
	a := w.tenants[importer]
	taken := a.shares.taken[exporter]
	taken[i] = !taken[i]
	a.shares.taken[exporter] = taken
	w.share(rt, a)
}

// unshare makes another tenant's token count no more, or again.
func (w *world) unshare(rt *rapid.T) {
	exporter := evenly(rt, len(w.tenants)-1, "exporter")
	importer := exporter + 1 + evenly(rt, len(w.tenants)-1-exporter, "importer")
	a := w.tenants[exporter]
	a.shares.revoked[importer] = !a.shares.revoked[importer]
	w.share(rt, a)
}

// lose lets an importer have no tokens of an exporter, or have them again.
func (w *world) lose(rt *rapid.T) {
	importer := 1 + evenly(rt, len(w.tenants)-1, "importer")
	exporter := evenly(rt, importer, "exporter")
	a := w.tenants[importer]
	a.shares.bare[exporter] = !a.shares.bare[exporter]
	w.share(rt, a)
}

// share puts what a tenant shares in force.
func (w *world) share(rt *rapid.T, a *tenant) {
	w.claim(a)
	w.apply(rt, a, func(*connection) bool { return false })
}

// claim writes what a tenant shares into its claims.
func (w *world) claim(a *tenant) {
	a.Claims.Exports, a.Claims.Imports, a.Claims.Mappings = nil, nil, jwt.Mapping{}
	w.claimMappings(a)
	for i, o := range offers {
		if !a.shares.given[i] {
			continue
		}
		e := &jwt.Export{Subject: jwt.Subject(o.remote), Type: o.kind, TokenReq: o.private}
		for importer, revoked := range a.shares.revoked {
			if revoked && o.private {
				e.Revoke(w.tenants[importer].Key)
			}
		}
		a.Claims.Exports.Add(e)
	}
	for exporter, taken := range a.shares.taken {
		for i, o := range offers {
			if !taken[i] {
				continue
			}
			im := &jwt.Import{Account: w.tenants[exporter].Key, Subject: jwt.Subject(o.remote), Type: o.kind, LocalSubject: jwt.RenamingSubject(o.local)}
			if o.private && !a.shares.bare[exporter] {
				act := jwt.NewActivationClaims(a.Key)
				act.ImportSubject, act.ImportType = im.Subject, im.Type
				im.Token = w.tenants[exporter].Activation(act)
			}
			a.Claims.Imports.Add(im)
		}
	}
}
