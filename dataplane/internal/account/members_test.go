package account_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

// Those over a limit go newest first, however members came and went.
func TestTheNewestGo(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 4))
		limits := account.Limits{Connections: account.NoLimit, Leafs: account.NoLimit, Subscriptions: account.NoLimit, Payload: account.NoLimit}
		a := account.New("A", account.NoUsage{}, &account.State{Limits: limits})
		var model []*member
		for range 40 {
			if len(model) == 0 || rng.IntN(3) > 0 {
				m := &member{id: &account.Identity{Account: a}}
				if err := a.Join(m); err != nil {
					t.Fatal(err)
				}
				model = append(model, m)
				continue
			}
			i := rng.IntN(len(model))
			gone := model[i]
			if !a.Leave(gone) || a.Leave(gone) {
				t.Fatalf("seed %d: Leave must succeed once", seed)
			}
			if model = slices.Delete(model, i, i+1); rng.IntN(2) == 0 { // and comes again
				if err := a.Join(gone); err != nil {
					t.Fatal(err)
				}
				model = append(model, gone)
			}
		}
		if a.Members() != len(model) {
			t.Fatalf("seed %d: %d members, want %d", seed, a.Members(), len(model))
		}
		limits.Connections = int64(len(model) / 2)
		a.Apply(&account.State{Limits: limits})
		for i, m := range model {
			if ended := m.ended() != nil; ended != (i >= len(model)/2) {
				t.Errorf("seed %d: member %d of %d: ended = %v", seed, i, len(model), ended)
			}
		}
	}
}

// Counted are clients, by who they are and by who signed them, once each; that the
// broker uses an account itself makes it no client.
func TestWhoIsCounted(t *testing.T) {
	w := newWorld(t)
	acct := w.Account("a")
	signer := acct.SigningKey()
	issuer, err := signer.PublicKey()
	issuer = operatortest.Must(t, issuer, err)
	w.source.Put(acct.Key, acct.Token())
	a := w.get(t, acct.Key)
	if !a.Pin() || a.MembersOf(nil, nil) != 0 {
		t.Errorf("an account that the broker uses has %d connections", a.MembersOf(nil, nil))
	}
	now := time.Now().Unix()
	for _, m := range [][2]string{{acct.Key, "U"}, {acct.Key, "U"}, {acct.Key, "V"}, {issuer, "V"}, {issuer, "W"}} {
		join(t, a, m[0], m[1], now, 0)
	}
	nobody := &member{id: &account.Identity{Account: a}} // of no JWT: an empty key is nobody's
	if err := a.Join(nobody); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		users, issuers []string
		want           int
	}{
		{nil, nil, 6},
		{[]string{"U"}, nil, 2},
		{[]string{"U", "V"}, nil, 4},
		{nil, []string{issuer}, 2},
		{[]string{"V"}, []string{issuer}, 3},
		{[]string{"X"}, []string{""}, 0},
	} {
		if got := a.MembersOf(tc.users, tc.issuers); got != tc.want {
			t.Errorf("of users %q and keys %q there are %d, want %d", tc.users, tc.issuers, got, tc.want)
		}
	}
}

// What changed reaches those whom it concerns, and only them.
func TestChangesReachThoseConcerned(t *testing.T) {
	w := newWorld(t)
	acct := w.Account("a")
	role := acct.Role("r", jwt.Permissions{Pub: jwt.Permission{Allow: []string{"r"}}})
	issuer, err := role.PublicKey()
	issuer = operatortest.Must(t, issuer, err)
	scope := func(change func(*jwt.UserPermissionLimits)) {
		s := acct.Claims.SigningKeys[issuer].(*jwt.UserScope) //nolint:errcheck // Role made it
		change(&s.Template)
	}
	w.source.Put(acct.Key, acct.Token())
	a := w.get(t, acct.Key)
	now := time.Now()
	plain := join(t, a, acct.Key, "U", now.Unix(), 0)
	scoped := join(t, a, issuer, "V", now.Unix(), 0)

	acct.Claims.DefaultPermissions.Pub.Allow.Add("d")
	w.put(t, acct)
	if plain.new != 1 || !plain.set.Publish([]byte("d")) || plain.set.Publish([]byte("x")) || scoped.new != 0 {
		t.Error("new default permissions: for those without any, and nobody else")
	}
	w.put(t, acct)
	if plain.new != 1 || scoped.new != 0 {
		t.Error("the same claims again give new rules")
	}
	scope(func(l *jwt.UserPermissionLimits) { l.Subs, l.Payload = 7, 8 })
	w.put(t, acct)
	if l := scoped.Identity().Limits; l.Subscriptions != 7 || l.Payload != 8 || scoped.new != 0 || plain.Identity().Limits.Payload != account.NoLimit {
		t.Errorf("limits of the role: %+v", l)
	}
	end := now.Add(2 * time.Hour)
	scope(func(l *jwt.UserPermissionLimits) {
		l.Locale = "UTC"
		l.Times = []jwt.TimeRange{{Start: now.Add(-time.Hour).UTC().Format(time.TimeOnly), End: end.UTC().Format(time.TimeOnly)}}
	})
	w.put(t, acct)
	if got := scoped.Identity().Expires; got != end.Unix() || plain.Identity().Expires != 0 {
		t.Errorf("the role's window ends at %d, want %d", got, end.Unix())
	}
	scope(func(l *jwt.UserPermissionLimits) { l.Times[0].End = now.Add(-time.Minute).UTC().Format(time.TimeOnly) })
	w.put(t, acct)
	if scoped.ended() == nil || plain.ended() != nil {
		t.Error("the role's window is over")
	}
	for name, change := range map[string]func(*jwt.UserPermissionLimits){
		"source": func(l *jwt.UserPermissionLimits) { l.Src.Add("10.0.0.0/8") },
		"kind":   func(l *jwt.UserPermissionLimits) { l.AllowedConnectionTypes.Add(jwt.ConnectionTypeMqtt) },
	} {
		scope(func(l *jwt.UserPermissionLimits) { l.Times, l.Src, l.AllowedConnectionTypes = nil, nil, nil })
		w.put(t, acct)
		m := join(t, a, issuer, "V", now.Unix(), 0)
		scope(change)
		w.put(t, acct)
		if m.ended() == nil || plain.ended() != nil {
			t.Errorf("%s: the role forbids it, and who is connected stays", name)
		}
	}
}

// An update looks at each member once and verifies nobody again.
func BenchmarkApplyToTenThousand(b *testing.B) {
	for _, templated := range []bool{false, true} {
		b.Run(fmt.Sprintf("templated=%v", templated), func(b *testing.B) {
			op := operatortest.New(b)
			acct := op.Account("a")
			allow := "in.x"
			if templated {
				allow = "in.{{name()}}"
			}
			role := acct.Role("r", jwt.Permissions{Pub: jwt.Permission{Allow: []string{allow}}})
			issuer, err := role.PublicKey()
			issuer = operatortest.Must(b, issuer, err)
			decode := func() *account.State {
				s, err := account.Decode(acct.Key, acct.TokenByRoot(), 1, func(string) bool { return true })
				return operatortest.Must(b, s, err)
			}
			a := account.New(acct.Key, account.NoUsage{}, decode())
			claimed := &account.Claimed{Rules: account.NewRules(&jwt.NewUserClaims("U").UserPermissionLimits), Blank: true}
			for i := range 10_000 {
				id, r := a.State().Fit(&account.Identity{Account: a, Issuer: issuer, Name: fmt.Sprint("u", i), Claimed: claimed}, time.Now())
				if r != nil {
					b.Fatal(r)
				}
				if err := a.Join(&member{id: id}); err != nil {
					b.Fatal(err)
				}
			}
			next := [2]*account.State{decode(), decode()}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				a.Apply(next[i%2])
			}
		})
	}
}
