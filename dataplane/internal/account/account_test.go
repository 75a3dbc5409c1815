package account_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

func TestDecode(t *testing.T) {
	op, other := operatortest.New(t), operatortest.New(t)
	acct := op.Account("acme")
	acct.Claims.Limits.Conn, acct.Claims.Limits.LeafNodeConn, acct.Claims.Limits.Subs, acct.Claims.Limits.Payload = 5, 6, 7, 8
	acct.Claims.Limits.DisallowBearer = true
	acct.Claims.Expires = time.Now().Add(time.Hour).Unix()
	acct.Claims.Revocations = jwt.RevocationList{"U1": 100}
	acct.Claims.DefaultPermissions.Pub.Deny.Add("x")
	plain := acct.SigningKey()
	role := acct.Role("reader", jwt.Permissions{Pub: jwt.Permission{Deny: []string{">"}}})
	trusted := func(key string) bool { return key == op.Key }

	s, err := account.Decode(acct.Key, acct.TokenByRoot(), 9, trusted)
	if err != nil {
		t.Fatal(err)
	}
	if s.Revision != 9 || s.Name != "acme" || s.Expires != acct.Claims.Expires || !s.NoBearer || s.Deleted ||
		s.Limits != (account.Limits{Connections: 5, Leafs: 6, Subscriptions: 7, Payload: 8}) || s.Revocations["U1"] != 100 {
		t.Errorf("state = %+v", s)
	}
	if s.Default.Publish([]byte("x")) || !s.Default.Publish([]byte("y")) {
		t.Error("default permissions")
	}
	plainKey, _ := plain.PublicKey()
	roleKey, _ := role.PublicKey()
	if scope, ok := s.Signers[plainKey]; !ok || scope != nil {
		t.Error("the plain signing key is not there, or scoped")
	}
	if scope := s.Signers[roleKey]; scope == nil || scope.Role != "reader" {
		t.Errorf("role = %+v", scope)
	}
	if scope, ok := s.Signers[acct.Key]; !ok || scope != nil || len(s.Signers) != 3 {
		t.Errorf("signers = %v", slices.Collect(maps.Keys(s.Signers)))
	}

	stranger := other.Account("acme")
	user := acct.User("ann", nil)
	token := acct.TokenByRoot()
	for name, c := range map[string]struct {
		key, token string
		untrusted  bool
	}{
		"by another operator":       {stranger.Key, stranger.TokenByRoot(), true},
		"by itself":                 {acct.Key, acct.TokenBySelf(), true},
		"by an unknown signing key": {acct.Key, acct.Token(), true},
		"of another account":        {acct.Key, op.Account("b").TokenByRoot(), false},
		"a user's":                  {acct.Key, user.Token, false},
		"an operator's":             {acct.Key, op.JWT, false},
		"with a broken signature":   {acct.Key, token[:len(token)-6] + "AAAAAA", false},
		"nothing":                   {acct.Key, "", false},
		"noise":                     {acct.Key, "a.b.c", false},
	} {
		if _, err := account.Decode(c.key, c.token, 1, trusted); err == nil || errors.Is(err, account.ErrUntrusted) != c.untrusted {
			t.Errorf("claims %s: error = %v", name, err)
		}
	}
}

func TestOperatorIsBelievedOnlyWithItsRootKey(t *testing.T) {
	w, other := newWorld(t), operatortest.New(t)
	a := w.Account("a")
	w.source.Put(a.Key, a.Token())
	w.get(t, a.Key) // by the signing key that the operator's claims name
	if err := w.registry.SetOperator(other.JWT); !errors.Is(err, account.ErrUntrusted) {
		t.Errorf("another operator's claims: %v", err)
	}
	forged := jwt.NewOperatorClaims(w.Key)
	kp, _ := nkeys.CreateOperator()
	token, err := forged.Encode(kp)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.registry.SetOperator(token); !errors.Is(err, account.ErrUntrusted) {
		t.Errorf("the operator's claims signed by another key: %v", err)
	}
	b := w.Account("b")
	w.source.Put(b.Key, b.Token())
	w.get(t, b.Key) // nothing was taken over
	foreign := other.Account("foreign")
	w.source.Put(foreign.Key, foreign.Token())
	if _, err := w.registry.Get(t.Context(), foreign.Key); !errors.Is(err, account.ErrUntrusted) {
		t.Errorf("a foreign account: %v", err)
	}
	if w.source.Held(foreign.Key) || w.registry.Len() != 2 {
		t.Error("a refused account stays")
	}
}

// Who is about to leave, and is somebody of another account already, is not what
// the account's new state judges.
func TestApplyLeavesAloneWhoIsOfAnotherAccount(t *testing.T) {
	w := newWorld(t)
	one, two := w.Account("a"), w.Account("b")
	w.source.Put(one.Key, one.Token())
	w.source.Put(two.Key, two.Token())
	a, b := w.get(t, one.Key), w.get(t, two.Key)
	m, stays := join(t, a, one.Key, "U-moves", time.Now().Unix(), 0), join(t, a, one.Key, "U-stays", time.Now().Unix(), 0)
	other := join(t, b, two.Key, "U-moves", time.Now().Unix(), 0).Identity()
	m.mu.Lock()
	m.id = other
	m.mu.Unlock()
	one.Claims.Limits.Conn = 1
	w.put(t, one)
	if m.ended() != nil || m.Identity() != other || stays.ended() != nil {
		t.Errorf("ended with %v, and who stays with %v", m.ended(), stays.ended())
	}
}

// Apply ends exactly those that the new state forbids.
func TestApplyEndsWhomItMust(t *testing.T) {
	w := newWorld(t)
	acct := w.Account("a")
	key := acct.SigningKey()
	issuer, _ := key.PublicKey()
	w.source.Put(acct.Key, acct.Token())
	a := w.get(t, acct.Key)
	now := time.Now().Unix()
	old := join(t, a, acct.Key, "U-old", now-100, 0)
	fresh := join(t, a, acct.Key, "U-fresh", now, 0)
	signed := join(t, a, issuer, "U-signed", now, 0)
	all := []*member{old, fresh, signed}
	ended := func() (out []*account.Refusal) {
		for _, m := range all {
			out = append(out, m.ended())
			m.mu.Lock()
			m.end = nil
			m.mu.Unlock()
		}
		return out
	}
	check := func(what string, want ...*account.Refusal) {
		t.Helper()
		w.put(t, acct)
		if got := ended(); !slices.Equal(got, want) {
			t.Errorf("%s: ended %v, want %v", what, got, want)
		}
	}
	check("no change", nil, nil, nil)
	acct.Claims.Revocations = jwt.RevocationList{"U-old": now - 100}
	check("one user revoked", account.Revoked, nil, nil)
	acct.Claims.Revocations = jwt.RevocationList{"U-old": now - 101}
	check("revoked before it was issued", nil, nil, nil)
	acct.Claims.Revocations = jwt.RevocationList{"*": now - 1}
	check("all that are old", account.Revoked, nil, nil)
	acct.Claims.Revocations = nil
	acct.Claims.SigningKeys = jwt.SigningKeys{}
	check("a signing key removed", nil, nil, account.SignerGone)
	acct.Claims.SigningKeys.Add(issuer)
	acct.Claims.Limits.Conn = 2
	check("fewer connections: the newest goes", nil, nil, account.TooManyAccountConnections)
	acct.Claims.Limits.Conn = 0
	check("suspended", account.TooManyAccountConnections, account.TooManyAccountConnections, account.TooManyAccountConnections)
	acct.Claims.Limits.Conn = -1
	acct.Claims.Expires = now - 1
	check("expired", account.AccountExpired, account.AccountExpired, account.AccountExpired)

	w.registry.Delete(acct.Key, w.source.Remove(acct.Key))
	if got := ended(); !slices.Equal(got, []*account.Refusal{account.AccountGone, account.AccountGone, account.AccountGone}) {
		t.Errorf("deleted: ended %v", got)
	}
	if w.source.Held(acct.Key) || w.registry.Len() != 0 {
		t.Error("a deleted account is still held")
	}
	if _, err := w.registry.Get(t.Context(), acct.Key); !errors.Is(err, account.ErrUnknown) {
		t.Errorf("Get of a deleted account = %v", err)
	}
	for i, m := range all {
		if w.released.Load() != 0 {
			t.Errorf("the usage was given back while %d members may still count", len(all)-i)
		}
		if !a.Leave(m) || a.Leave(m) {
			t.Error("Leave must succeed once")
		}
	}
	if w.released.Load() != 1 {
		t.Errorf("the usage was given back %d times", w.released.Load())
	}
}

func TestOldAndForeignChangesAreIgnored(t *testing.T) {
	w := newWorld(t)
	acct := w.Account("a")
	w.source.Put(acct.Key, acct.Token())
	a := w.get(t, acct.Key)
	acct.Claims.Limits.Conn = 3
	w.put(t, acct)
	acct.Claims.Limits.Conn = 4
	if err := w.registry.Apply(acct.Key, acct.Token(), 1); err != nil || a.State().Limits.Connections != 3 {
		t.Errorf("an older revision: %v, %+v", err, a.State().Limits)
	}
	w.registry.Delete(acct.Key, 1)
	if w.registry.Len() != 1 {
		t.Error("an older deletion was followed")
	}
	if err := w.registry.Apply(acct.Key, acct.TokenBySelf(), 99); !errors.Is(err, account.ErrUntrusted) || a.State().Limits.Connections != 3 {
		t.Errorf("claims that the account signed itself: %v", err)
	}
	stranger := w.Account("b")
	if err := w.registry.Apply(stranger.Key, stranger.Token(), 99); err != nil || w.registry.Len() != 1 {
		t.Errorf("a change to an account that is not loaded: %v", err)
	}
}

func TestJoin(t *testing.T) {
	w := newWorld(t)
	acct := w.Account("a")
	acct.Claims.Limits.Conn = 1
	w.source.Put(acct.Key, acct.Token())
	a := w.get(t, acct.Key)
	now := time.Now().Unix()
	try := func(change func(*account.Identity)) error {
		id := &account.Identity{Account: a, State: a.State(), Issuer: acct.Key, User: "U", IssuedAt: now}
		change(id)
		m := &member{id: id}
		err := a.Join(m)
		a.Leave(m)
		return err
	}
	for name, c := range map[string]struct {
		change func(*account.Identity)
		want   error
	}{
		"good":             {func(*account.Identity) {}, nil},
		"expired":          {func(id *account.Identity) { id.Expires = now }, account.UserExpired},
		"unknown signer":   {func(id *account.Identity) { id.Issuer = "A" }, account.SignerGone},
		"from older state": {func(id *account.Identity) { id.State = &account.State{} }, account.ErrChanged},
	} {
		if err := try(c.change); !errors.Is(err, c.want) {
			t.Errorf("%s: Join = %v, want %v", name, err, c.want)
		}
	}
	m := join(t, a, acct.Key, "U", now, 0)
	if err := try(func(*account.Identity) {}); !errors.Is(err, account.TooManyAccountConnections) {
		t.Errorf("the second of one: %v", err)
	}
	a.Leave(m)
	if err := try(func(*account.Identity) {}); err != nil {
		t.Errorf("after the first left: %v", err)
	}
}

// A change of a role reaches those who are connected; one that cannot be
// expressed for a member ends it.
func TestRolesFollow(t *testing.T) {
	w := newWorld(t)
	acct := w.Account("a")
	role := acct.Role("r", jwt.Permissions{Pub: jwt.Permission{Allow: []string{"old.{{name()}}"}}})
	issuer, _ := role.PublicKey()
	w.source.Put(acct.Key, acct.Token())
	a := w.get(t, acct.Key)
	m := join(t, a, issuer, "U", time.Now().Unix(), 0)
	bystander := join(t, a, acct.Key, "V", time.Now().Unix(), 0)
	acct.SetRole(role, "r", jwt.Permissions{Pub: jwt.Permission{Allow: []string{"new.{{name()}}"}}})
	w.put(t, acct)
	if m.ended() != nil || !m.set.Publish([]byte("new.ann")) || m.set.Publish([]byte("old.ann")) || m.set.Publish([]byte("new.bob")) {
		t.Errorf("the new role is not in force: %+v", m.set)
	}
	if bystander.new != 0 {
		t.Error("a user without a role was given new rules")
	}
	acct.SetRole(role, "r", jwt.Permissions{Pub: jwt.Permission{Deny: []string{"no.{{tag(x)}}"}}})
	w.put(t, acct)
	if m.ended() == nil || bystander.ended() != nil {
		t.Error("a member stays whose deny list cannot be filled in, or another goes")
	}
	m.end = nil
	acct.Claims.SigningKeys.Add(issuer) // a plain key from now on
	w.put(t, acct)
	if m.ended() != account.RoleChanged {
		t.Errorf("the role became a plain key: %v", m.ended())
	}
}
