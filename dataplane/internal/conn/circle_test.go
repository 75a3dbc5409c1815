package conn_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

// Accounts whose mappings hide that their services lead back to where they came from
// cannot make more of a message than a broker has time for: with these, each of the
// others in every order, it would be a hundred million.
func TestServicesInCirclesEnd(t *testing.T) {
	const others = 11
	op := operatortest.New(t)
	hub := op.Account("hub")
	hub.Claims.Exports.Add(&jwt.Export{Subject: "back", Type: jwt.Service})
	hub.Claims.AddMapping("back", jwt.WeightedMapping{Subject: "go"})
	all := []*operatortest.Account{hub}
	for i := range others {
		a := op.Account(fmt.Sprintf("a%d", i))
		a.Claims.Exports.Add(&jwt.Export{Subject: "go", Type: jwt.Service})
		a.Claims.AddMapping("go", jwt.WeightedMapping{Subject: "further"})
		hub.Claims.Imports.Add(&jwt.Import{Account: a.Key, Subject: "go", Type: jwt.Service})
		all = append(all, a)
	}
	for i, a := range all[1:] {
		a.Claims.Imports.Add(&jwt.Import{Account: hub.Key, Subject: "back", LocalSubject: "further", Type: jwt.Service})
		// A service for each, so that none is met twice.
		hub.Claims.Exports.Add(&jwt.Export{Subject: jwt.Subject(fmt.Sprintf("back.%d", i)), Type: jwt.Service})
		hub.Claims.AddMapping(jwt.Subject(fmt.Sprintf("back.%d", i)), jwt.WeightedMapping{Subject: "go"})
		a.Claims.Imports[0].Subject = jwt.Subject(fmt.Sprintf("back.%d", i))
	}
	b, registry := enrolled(t, op, operatortest.NewSource(all...), nil)
	c := b.dial()
	c.login(hub.User("u", nil))
	for _, a := range all {
		got, err := registry.Get(t.Context(), a.Key)
		if err != nil {
			t.Fatal(err)
		}
		if faults := got.Links().Faults(); len(faults) > 0 {
			t.Fatalf("not what this is about: %s", strings.Join(faults, "; "))
		}
	}
	c.send("SUB go 1\r\nPUB go 1\r\nx\r\nPING\r\n")
	heard, told := 0, false
	for line := c.line(); line != "PONG"; line = c.line() {
		switch {
		case strings.HasPrefix(line, "HMSG go"):
			heard++
		case strings.HasPrefix(line, "-ERR"):
			told = strings.Contains(line, `Permissions Violation for Publish to "go"`)
		}
	}
	if heard == 0 || heard > 1024 || !told {
		t.Errorf("a message came back %d times, and its sender was told: %v", heard, told)
	}
	c.send("PUB elsewhere 1\r\nx\r\nPING\r\n")
	c.expect("PONG")
}
