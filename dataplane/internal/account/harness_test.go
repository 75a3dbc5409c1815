package account_test

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
	"github.com/coveymq/covey/dataplane/internal/permission"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

// usage counts how often it was given back.
type usage struct {
	account.NoUsage
	released *atomic.Int64
}

func (u usage) Release() { u.released.Add(1) }

// member is a connection that remembers what was done to it.
type member struct {
	mu   sync.Mutex
	id   *account.Identity
	end  *account.Refusal
	set  *permission.Set
	new  int // how often it was given rules
	seat account.Seat
}

func (m *member) Identity() *account.Identity {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id
}

func (m *member) Seat() *account.Seat { return &m.seat }

func (m *member) Disconnect(r *account.Refusal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end = r
}

func (m *member) Adopt(was, is *account.Identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.id != was {
		return
	}
	m.id = is
	if was.Permissions != is.Permissions {
		m.set = is.Permissions
		m.new++
	}
}

func (m *member) ended() *account.Refusal {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.end
}

// world is an operator's registry.
type world struct {
	*operatortest.Operator
	source   *operatortest.Source
	registry *account.Registry
	released atomic.Int64
}

func newWorld(t *testing.T, accounts ...*operatortest.Account) *world {
	t.Helper()
	w := &world{Operator: operatortest.New(t), source: operatortest.NewSource(accounts...)}
	w.registry = account.NewRegistry(w.Key, w.source, func(string) (account.Usage, error) {
		return usage{released: &w.released}, nil
	}, slog.New(slog.DiscardHandler))
	if err := w.registry.SetOperator(w.JWT); err != nil {
		t.Fatal(err)
	}
	return w
}

// put publishes an account's claims as they are now.
func (w *world) put(t *testing.T, a *operatortest.Account) {
	t.Helper()
	token := a.Token()
	if err := w.registry.Apply(a.Key, token, w.source.Put(a.Key, token)); err != nil {
		t.Fatal(err)
	}
}

func (w *world) get(t *testing.T, key string) *account.Account {
	t.Helper()
	a, err := w.registry.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// join makes a member with the identity that a user has now.
func join(t *testing.T, a *account.Account, issuer, user string, issued, expires int64) *member {
	t.Helper()
	id, r := a.State().Fit(&account.Identity{Account: a, Issuer: issuer, User: user, Name: "ann", IssuedAt: issued, Claimed: &account.Claimed{
		Rules: account.NewRules(&jwt.NewUserClaims(user).UserPermissionLimits), Expires: expires, Blank: true,
	}}, time.Now())
	if r != nil {
		t.Fatalf("Fit = %v", r)
	}
	m := &member{id: id}
	if err := a.Join(m); err != nil {
		t.Fatalf("Join = %v", err)
	}
	return m
}
