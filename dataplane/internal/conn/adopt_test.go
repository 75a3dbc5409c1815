package conn_test

import (
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

// New limits of an account hold for those who are connected.
func TestLimitsChangeUnderWay(t *testing.T) {
	op := operatortest.New(t)
	acct := op.Account("acme")
	role := acct.Role("r", jwt.Permissions{})
	u := acct.User("ann", nil)
	b, registry := enrolled(t, op, operatortest.NewSource(acct), nil)
	revision := int64(9)
	apply := func() {
		t.Helper()
		revision++
		if err := registry.Apply(acct.Key, acct.Token(), revision); err != nil {
			t.Fatal(err)
		}
	}
	c, d, e := b.dial(), b.dial(), b.dial()
	c.login(u)
	d.login(u)
	e.login(acct.ScopedUser(role, "eve"))
	c.send("SUB a 1\r\nSUB b 2\r\nPUB x 5\r\n12345\r\nPING\r\n")
	c.expect("PONG")
	acct.Claims.Limits.Subs, acct.Claims.Limits.Payload = 2, 4
	apply()
	c.send("PUB x 4\r\n1234\r\nSUB c 3\r\nPING\r\n") // at the limit, not over it
	c.expect("-ERR 'maximum subscriptions exceeded'", "PONG")
	d.send("SUB a 1\r\nPUB x 5\r\n")
	d.expectEnd("-ERR 'Maximum Payload Violation'")
	acct.Claims.Limits.Subs = 1
	apply()
	c.expectEnd("-ERR 'maximum subscriptions exceeded'")

	e.send("SUB a 1\r\nPING\r\n")
	e.expect("PONG")
	acct.Claims.Limits.Payload = -1
	pub, err := role.PublicKey()
	scope := acct.Claims.SigningKeys[operatortest.Must(t, pub, err)].(*jwt.UserScope) //nolint:errcheck // Role made it
	scope.Template.Payload = 3
	apply()
	e.send("PUB x 3\r\n123\r\nPING\r\n")
	e.expect("PONG")
	scope.Template.Times = []jwt.TimeRange{{Start: time.Now().Add(-time.Hour).Format(time.TimeOnly), End: time.Now().Add(-time.Minute).Format(time.TimeOnly)}}
	apply()
	e.expectEnd("-ERR 'Authorization Violation'")
}

// Changes and second CONNECTs beside each other never mix up whose rules hold.
func TestChangesBesideReconnects(t *testing.T) {
	op := operatortest.New(t)
	a, z := op.Account("a"), op.Account("z")
	roleA := a.Role("r", jwt.Permissions{Pub: jwt.Permission{Allow: []string{"a"}}})
	roleZ := z.Role("r", jwt.Permissions{Pub: jwt.Permission{Allow: []string{"z"}}})
	b, registry := enrolled(t, op, operatortest.NewSource(a, z), nil)
	ua, uz := a.ScopedUser(roleA, "ann"), z.ScopedUser(roleZ, "zoe")
	c := b.dial()
	c.login(ua)
	var tokens [2]string
	for i, subj := range []string{"a", "a.more"} {
		a.SetRole(roleA, "r", jwt.Permissions{Pub: jwt.Permission{Allow: []string{"a", subj}}})
		tokens[i] = a.Token()
	}
	var applying sync.WaitGroup
	stop := make(chan struct{})
	applying.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := registry.Apply(a.Key, tokens[i%2], int64(10+i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer applying.Wait()
	defer close(stop)
	for range 200 {
		c.send(credentials(c, uz) + "PUB a 0\r\n\r\nPUB z 0\r\n\r\nPING\r\n")
		c.expect("-ERR 'Permissions Violation for Publish to \"a\"'", "PONG")
		c.send(credentials(c, ua) + "PUB z 0\r\n\r\nPUB a 0\r\n\r\nPING\r\n")
		c.expect("-ERR 'Permissions Violation for Publish to \"z\"'", "PONG")
	}
}
