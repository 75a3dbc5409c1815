package conn_test

import (
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"pgregory.net/rapid"
)

// remaps are what each tenant may map: what one of them makes the other one takes,
// but a message is mapped once in an account.
var remaps = [...]struct{ from, to string }{
	{"b.a", "a.a.b"},
	{"a.*.b", "b.$1"},
}

// rewritten is what an account's mappings make of a subject.
func (w *world) rewritten(at int, subject []string) []string {
	for i, m := range remaps {
		if !w.tenants[at].mapped[i] {
			continue
		}
		if to := translate(subject, strings.Split(m.from, "."), strings.Split(m.to, ".")); to != nil {
			return to
		}
	}
	return subject
}

// remap lets a tenant map something, or not any more.
func (w *world) remap(rt *rapid.T) {
	a := oneOf(rt, w.tenants, "tenant")
	i := evenly(rt, len(remaps), "mapping")
	a.mapped[i] = !a.mapped[i]
	w.share(rt, a)
}

func (w *world) claimMappings(a *tenant) {
	for i, m := range remaps {
		if a.mapped[i] {
			a.Claims.AddMapping(jwt.Subject(m.from), jwt.WeightedMapping{Subject: jwt.Subject(m.to)})
		}
	}
}

// evict forgets the accounts that nobody is in and nobody needs. They come back
// with the next connect, as they are then.
func (w *world) evict(*rapid.T) {
	w.registry.Evict(time.Now().Add(time.Hour), time.Minute)
}
