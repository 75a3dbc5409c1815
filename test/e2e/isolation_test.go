package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestNothingCrossesBetweenOrganizations listens in globex with everything that
// could hear acme, while acme uses the same subjects and queue groups.
func TestNothingCrossesBetweenOrganizations(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	acme, globex := h.signUp("acme"), h.signUp("globex")
	a, g := b.connect(acme.CredsFile), b.connect(globex.CredsFile)

	spies := []*nats.Subscription{
		subscribe(t, g, ">", ""), subscribe(t, g, "*", ""), subscribe(t, g, "orders.>", ""), subscribe(t, g, "orders.new", ""),
		subscribe(t, g, "orders.new", "workers"), subscribe(t, g, "_INBOX.>", ""),
	}
	if _, err := g.Subscribe("ask", func(m *nats.Msg) { _ = m.Respond([]byte("globex")) }); err != nil {
		t.Fatal(err)
	}
	flush(t, g)

	own := subscribe(t, a, "orders.>", "")
	worker := subscribe(t, a, "orders.new", "workers")
	const n = 1000
	for i := range n {
		if err := a.Publish("orders.new", fmt.Appendf(nil, "secret %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, a)
	for i := range n {
		want := fmt.Sprintf("secret %d", i)
		for _, sub := range []*nats.Subscription{own, worker} {
			if m := next(t, sub); string(m.Data) != want {
				t.Fatalf("%s: message %d = %q", sub.Queue, i, m.Data)
			}
		}
	}
	// Nobody answers in acme, whoever answers in globex.
	if m, err := a.Request("ask", nil, patience); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("request answered across accounts: %v, %v", m, err)
	}
	publish(t, a, "single", "secret")

	// A message of its own passes through globex' connection last.
	for i, spy := range spies[:1] {
		publish(t, g, "orders.new", "own")
		if m := next(t, spy); string(m.Data) != "own" {
			t.Errorf("spy %d on %s heard %q", i, spy.Subject, m.Data)
		}
	}
	flush(t, g)
	for i, spy := range spies[1:] {
		for {
			m, err := spy.NextMsg(10 * time.Millisecond)
			if err != nil {
				break
			}
			if string(m.Data) != "own" {
				t.Errorf("spy %d on %s, queue %q, heard %q", i+1, spy.Subject, spy.Queue, m.Data)
			}
		}
	}
}

// TestTenantCanNeitherSeeNorChangeAnother compares every answer about globex
// with the answer about a name that does not exist.
func TestTenantCanNeitherSeeNorChangeAnother(t *testing.T) {
	h := newHome(t)
	h.up(anyPorts()...)
	h.signUp("acme")
	globex := h.signUp("globex")
	account, user := lastID(globex.Account), lastID(globex.User)
	var listed struct{ Credentials []struct{ Name string } }
	h.coveyJSON(&listed, "--context", "globex", "creds", "list", globex.User)
	if len(listed.Credentials) != 1 {
		t.Fatalf("globex' credentials = %+v", listed)
	}
	credential := lastID(listed.Credentials[0].Name)

	for _, attempt := range [][]string{
		{"org", "get", "ORG"},
		{"account", "list", "--org", "ORG"},
		{"account", "get", "organizations/ORG/accounts/" + account},
		{"account", "create", "intruder", "--org", "ORG"},
		{"account", "update", "organizations/ORG/accounts/" + account, "--display-name", "x"},
		{"account", "suspend", "organizations/ORG/accounts/" + account},
		{"account", "resume", "organizations/ORG/accounts/" + account},
		{"account", "delete", "organizations/ORG/accounts/" + account},
		{"user", "list", "--org", "ORG", "--account", account},
		{"user", "get", "organizations/ORG/accounts/" + account + "/users/" + user},
		{"user", "create", "intruder", "--org", "ORG", "--account", account},
		{"user", "delete", "organizations/ORG/accounts/" + account + "/users/" + user},
		{"creds", "list", "organizations/ORG/accounts/" + account + "/users/" + user},
		{"creds", "issue", "organizations/ORG/accounts/" + account + "/users/" + user, "--out", h.dir + "/stolen.creds"},
		{"creds", "revoke", "organizations/ORG/accounts/" + account + "/users/" + user + "/credentials/" + credential},
		{"usage", "--org", "ORG"},
		{"operation", "list", "--org", "ORG"},
	} {
		actual, ghost := h.attempt("globex", attempt), h.attempt("unheard-of", attempt)
		if actual.code != 3 && actual.code != 4 {
			t.Errorf("%v: exit code %d: %s%s", attempt, actual.code, actual.stdout, actual.stderr)
		}
		if actual.code != ghost.code || maskIDs(actual.stderr, "globex") != maskIDs(ghost.stderr, "unheard-of") {
			t.Errorf("%v tells globex from a name that does not exist:\n%s\n%s", attempt, actual.stderr, ghost.stderr)
		}
	}
	var orgs struct{ Organizations []struct{ Name string } }
	h.coveyJSON(&orgs, "--context", "acme", "org", "list")
	if len(orgs.Organizations) != 1 || orgs.Organizations[0].Name != "organizations/acme" {
		t.Errorf("acme sees %+v", orgs)
	}
	var still struct{ State string }
	h.coveyJSON(&still, "--context", "globex", "account", "get", account)
	if !strings.HasSuffix(still.State, "ACTIVE") {
		t.Errorf("globex' account is %s", still.State)
	}
}

func lastID(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func (h *home) attempt(org string, args []string) outcome {
	h.t.Helper()
	concrete := []string{"--context", "acme"}
	for _, a := range args {
		concrete = append(concrete, strings.ReplaceAll(a, "ORG", org))
	}
	return h.run("covey", concrete...)
}

// maskIDs removes what differs between two equal answers.
func maskIDs(s, org string) string {
	var kept []string
	for _, line := range strings.Split(strings.ReplaceAll(s, org, "ORG"), "\n") {
		if !strings.Contains(line, "request:") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}
