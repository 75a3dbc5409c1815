package conn_test

import (
	"testing"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
	"github.com/coveymq/covey/dataplane/internal/share"
	"github.com/coveymq/covey/dataplane/internal/transform"
)

// The mappings in an account's claims hold for what its clients publish, and
// new claims change them for those who are connected.
func TestMappingsOfClaimsAndTheirChange(t *testing.T) {
	op := operatortest.New(t)
	a := op.Account("a")
	a.Claims.Mappings = jwt.Mapping{"foo": {{Subject: "bar"}}, "n.*": {{Subject: "m.$1", Weight: 100}}}
	source := operatortest.NewSource(a)
	b, registry := enrolled(t, op, source, nil)
	c := b.dial()
	c.login(a.User("u", nil))
	c.send("SUB > 1\r\nPUB foo 1\r\nx\r\nPUB n.1 0\r\n\r\nPUB bar 0\r\n\r\n")
	c.expect("MSG bar 1 1", "x", "MSG m.1 1 0", "", "MSG bar 1 0", "")

	a.Claims.Mappings = jwt.Mapping{"foo": {{Subject: "baz"}}}
	token := a.Token()
	if err := registry.Apply(a.Key, token, source.Put(a.Key, token)); err != nil {
		t.Fatal(err)
	}
	c.send("PUB foo 0\r\n\r\nPUB n.1 0\r\n\r\n")
	c.expect("MSG baz 1 0", "", "MSG n.1 1 0", "")
}

// A message that a mapping drops is answered as one that nobody wants.
func TestDroppedByAMapping(t *testing.T) {
	var drop transform.Mappings
	if err := drop.Add("lost", transform.Dest{Subject: "lost"}); err != nil {
		t.Fatal(err)
	}
	b := open(t, nil)
	global := b.Auth.(*auth.Open).Account //nolint:errcheck // open says so
	global.Apply(&account.State{Limits: unlimited(), Terms: &share.Terms{Mappings: &drop}})
	c := b.dial()
	c.connect(`,"headers":true,"no_responders":true`)
	c.send("SUB > 1\r\nPUB lost 1\r\nx\r\nPUB lost in 1\r\nx\r\nPUB kept 1\r\nx\r\nPING\r\n")
	c.expect("HMSG in 1 32 32", "NATS/1.0 503", "Nats-Subject: ", "", "", "MSG kept 1 1", "x", "PONG")
}
