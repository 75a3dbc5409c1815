package auth_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/permission"
)

// worldOf makes authenticators that share their accounts, as reloads do.
type worldOf map[string]*account.Account

func (w worldOf) account(name string) *account.Account {
	if w[name] == nil {
		w[name] = account.New(name, account.NoUsage{}, &account.State{Limits: auth.Unlimited()})
	}
	return w[name]
}

func (w worldOf) static(a auth.Access) *auth.Static { return auth.NewStatic(&a, w.account) }

func login(t *testing.T, s *auth.Static, name, password string) *account.Identity {
	t.Helper()
	id, err := s.Authenticate(context.Background(), &auth.Connect{Username: name, Password: password}, "", netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestWhoStaysAfterAReload(t *testing.T) {
	users := func(all ...auth.User) auth.Access { return auth.Access{Users: all, HasUsers: true} }
	deny := &jwt.Permissions{Pub: jwt.Permission{Deny: jwt.StringList{"x"}}}
	answer := &jwt.Permissions{Resp: &jwt.ResponsePermission{}}
	u := auth.User{Name: "u", Password: "p"}
	for _, c := range []struct {
		name          string
		before, after auth.Access
		stays         bool
	}{
		{"nothing changed", users(u), users(u), true},
		{"another user came", users(u), users(u, auth.User{Name: "v"}), true},
		{"other permissions", users(u), users(auth.User{Name: "u", Password: "p", Permissions: deny}), true},
		{"may answer now", users(u), users(auth.User{Name: "u", Password: "p", Permissions: answer}), false},
		{"removed", users(u), users(auth.User{Name: "v"}), false},
		{"another password", users(u), users(auth.User{Name: "u", Password: "q"}), false},
		{"another account", users(u), users(auth.User{Name: "u", Password: "p", Account: "A"}), false},
		{"other kinds", users(u), users(auth.User{Name: "u", Password: "p", Kinds: []string{"WEBSOCKET"}}), false},
		{"no users any more", users(u), auth.Access{}, false},
		{"open to all, then users", auth.Access{}, users(u), false},
		{"open to all", auth.Access{}, auth.Access{}, true},
		{"the same shared password", auth.Access{User: "u", Password: "p"}, auth.Access{User: "u", Password: "p"}, true},
		{"another shared password", auth.Access{User: "u", Password: "p"}, auth.Access{User: "u", Password: "q"}, false},
		{"only the system account had users", auth.Access{Users: []auth.User{{Name: "s", Account: "$SYS"}}, SystemOnly: true}, users(u), false},
	} {
		w := worldOf{}
		before, after := w.static(c.before), w.static(c.after)
		connect := auth.Connect{Username: "u", Password: "p"}
		if c.before.SystemOnly {
			connect = auth.Connect{}
		}
		id, err := before.Authenticate(context.Background(), &connect, "", netip.Addr{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		rules, stays := before.Keeps(after, id)
		if stays != c.stays {
			t.Errorf("%s: stays = %v", c.name, stays)
		}
		if c.name == "other permissions" && rules.Publish([]byte("x")) {
			t.Errorf("%s: the old rules hold", c.name)
		}
	}
}

func TestWhoeverShowedNothingGoesWithNoAuthUser(t *testing.T) {
	w := worldOf{}
	a := auth.Access{Users: []auth.User{{Name: "u", Password: "p"}, {Name: "v", Password: "p"}}, NoAuthUser: "u"}
	b := a
	b.NoAuthUser = ""
	before, after := w.static(a), w.static(b)
	id, err := before.Authenticate(context.Background(), &auth.Connect{}, "", netip.Addr{})
	if err != nil || id.User != "u" {
		t.Fatalf("nothing shown: %+v, %v", id, err)
	}
	if _, stays := before.Keeps(after, id); stays {
		t.Error("it stays without ever having shown a password")
	}
	if _, stays := before.Keeps(after, login(t, before, "v", "p")); !stays {
		t.Error("a user that showed its password must go")
	}
}

func TestMadeKnowsItsOwn(t *testing.T) {
	w := worldOf{}
	a := auth.Access{Token: "x"}
	before, after := w.static(a), w.static(a)
	id, err := after.Authenticate(context.Background(), &auth.Connect{Token: "x"}, "", netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	if before.Made(id) || !after.Made(id) {
		t.Errorf("made by the first: %v, by the second: %v", before.Made(id), after.Made(id))
	}
}

func TestASecretIsNeverPrinted(t *testing.T) {
	s := auth.Secret("hunter2")
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s)
	text, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s) + log.String() + string(text)
	if strings.Contains(all, "hunter2") {
		t.Errorf("printed: %s", all)
	}
}

// A reload keeps whom a service admitted, with the same rules, as long as the
// service is the same; else they must show who they are again.
func TestKeepsWhomAServiceAdmitted(t *testing.T) {
	acct := account.New("APP", account.NoUsage{}, &account.State{Limits: auth.Unlimited()})
	accounts := func(string) *account.Account { return acct }
	with := func(c *auth.Callout) *auth.Static { return auth.NewStatic(&auth.Access{Callout: c}, accounts) }
	rules := permission.New(&jwt.Permissions{Pub: jwt.Permission{Allow: []string{"x"}}})
	id := &account.Identity{Account: acct, User: "somebody", Permissions: rules, External: true}
	one, same, other := &auth.Callout{Issuer: "A", Users: []string{"a"}}, &auth.Callout{Issuer: "A", Users: []string{"a"}}, &auth.Callout{Issuer: "B", Users: []string{"a"}}
	if got, ok := with(one).Keeps(with(same), id); !ok || got != rules {
		t.Errorf("with the same service: %v, %v", got, ok)
	}
	for name, next := range map[string]*auth.Static{"with another service": with(other), "without one": with(nil)} {
		if _, ok := with(one).Keeps(next, id); ok {
			t.Errorf("%s: kept", name)
		}
	}
	elsewhere := auth.NewStatic(&auth.Access{Callout: same}, func(string) *account.Account {
		return account.New("APP", account.NoUsage{}, &account.State{Limits: auth.Unlimited()})
	})
	if _, ok := with(one).Keeps(elsewhere, id); ok {
		t.Error("kept in an account that is another one now")
	}
	plain := *id
	plain.External = false
	if _, ok := with(nil).Keeps(with(one), &plain); ok {
		t.Error("a service that is new is not asked about those who are there")
	}
}
