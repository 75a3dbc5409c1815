package auth_test

import (
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

// A JWT that was verified is not believed for longer, nor any other for it.
func TestRememberedJWTs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		u := w.acct.User("ann", func(c *jwt.UserClaims) { c.Expires = time.Now().Add(time.Hour).Unix() })
		first, err := w.try(t, u)
		first = operatortest.Must(t, first, err)
		again, err := w.try(t, u)
		again = operatortest.Must(t, again, err)
		if first == again || first.Claimed != again.Claimed {
			t.Error("what was verified is not shared, or more than that")
		}
		_, err = w.auth.Authenticate(t.Context(), &auth.Connect{JWT: u.Token, Sig: u.Sign("other")}, nonce, local)
		refused(t, "another nonce's signature", err, violation, "signed by another key")
		at, other := len(u.Token)-10, "A" // within the signature, where every bit counts
		if u.Token[at] == 'A' {
			other = "B"
		}
		forged := u.Token[:at] + other + u.Token[at+1:]
		_, err = w.auth.Authenticate(t.Context(), &auth.Connect{JWT: forged, Sig: u.Sign(nonce)}, nonce, local)
		refused(t, "another signature of the JWT", err, violation, "malformed")
		<-time.After(2 * time.Hour)
		_, err = w.try(t, u)
		refused(t, "expired since", err, "User Authentication Expired", "expired at")
	})
}

func TestTheLeastRecentIsForgotten(t *testing.T) {
	w := newWorld(t, nil)
	r := account.NewRegistry(w.Key, w.source, func(string) (account.Usage, error) { return account.NoUsage{}, nil }, slog.New(slog.DiscardHandler))
	if err := r.SetOperator(w.JWT); err != nil {
		t.Fatal(err)
	}
	o, remembers := auth.Remembered(r, 2)
	a, b, c := w.acct.User("a", nil), w.acct.User("b", nil), w.acct.User("c", nil)
	bad := operatortest.New(t).Account("x").Token()
	for _, token := range []string{a.Token, b.Token, bad, a.Token, c.Token} {
		_, _ = o.Authenticate(t.Context(), &auth.Connect{JWT: token}, nonce, local) // nobody signs anything
	}
	if got := remembers(a.Token, b.Token, c.Token, bad); !slices.Equal(got, []bool{true, false, true, false}) {
		t.Errorf("remembered: %v", got)
	}
}

func BenchmarkAuthenticateAgain(b *testing.B) {
	op := operatortest.New(b)
	acct := op.Account("a")
	r := account.NewRegistry(op.Key, operatortest.NewSource(acct), func(string) (account.Usage, error) { return account.NoUsage{}, nil }, slog.New(slog.DiscardHandler))
	if err := r.SetOperator(op.JWT); err != nil {
		b.Fatal(err)
	}
	o := auth.NewOperator(r)
	u := acct.User("ann", nil)
	c := &auth.Connect{JWT: u.Token, Sig: u.Sign(nonce)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.Authenticate(b.Context(), c, nonce, local); err != nil {
			b.Fatal(err)
		}
	}
}
