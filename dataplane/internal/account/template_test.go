package account_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
	"github.com/coveymq/covey/dataplane/internal/permission"
)

// role is a template with a user of it.
type role struct {
	pubAllow, pubDeny, subAllow, subDeny []string

	name        string
	tags        []string
	accountName string
	accountTags []string
}

func (r *role) permissions() jwt.Permissions {
	return jwt.Permissions{
		Pub: jwt.Permission{Allow: r.pubAllow, Deny: r.pubDeny},
		Sub: jwt.Permission{Allow: r.subAllow, Deny: r.subDeny},
	}
}

func tags(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s:v%d", prefix, i)
	}
	return out
}

// roles are asked of a stock server as well. All users are called ann unless
// they have a name, and have the tags team:red, team:blue, Dept:Sales and
// path:a.b, their accounts region:eu.
func roles() []role {
	return []role{
		{},
		{pubAllow: []string{"n.{{name()}}"}, subDeny: []string{"n.{{name()}}"}},
		{pubAllow: []string{"n.{{ Name() }}", "n.{{NAME()}}"}},
		{pubAllow: []string{"n.{{name()}}.{{name()}}", "n.x{{name()}}y"}},
		{pubAllow: []string{"s.{{subject()}}"}, subAllow: []string{"a.{{account-subject()}}"}},
		{pubAllow: []string{"{{account-name()}}.>"}, subDeny: []string{"{{account-name()}}"}},
		{pubAllow: []string{"t.{{tag(team)}}"}, subDeny: []string{"t.{{tag(team)}}"}},
		{pubAllow: []string{"t.{{tag(TEAM)}}", "d.{{tag(dept)}}"}},
		{pubAllow: []string{"t.{{TAG(team)}}"}},
		{pubDeny: []string{"t.{{TAG(team)}}"}},
		{pubAllow: []string{"t.{{tag(team)}}.{{account-tag(region)}}.{{tag(dept)}}"}},
		{pubAllow: []string{"t.{{tag(team)}}.{{tag(team)}}"}},
		{pubAllow: []string{"t.{{tag(team)}}.{{ tag(team) }}"}},
		{pubAllow: []string{"t.{{tag(path)}}"}, subAllow: []string{"{{name()}}.{{tag(team)}}"}},
		{pubAllow: []string{"t.{{tag(none)}}"}, subAllow: []string{"t.{{tag(none)}}", "ok"}},
		{subAllow: []string{"t.{{account-tag(none)}}"}},
		{subDeny: []string{"t.{{tag(none)}}"}},
		{pubDeny: []string{"t.{{account-tag(none)}}"}},
		{pubAllow: []string{"{{tag()}}", "x"}},
		{pubAllow: []string{"{{other()}}"}},
		{subAllow: []string{"{{name}}"}},
		{subDeny: []string{"{{tag(team}}"}},
		{pubAllow: []string{"{{}}", "x"}},
		{pubAllow: []string{"{{name()", "n.{{name()}}"}},
		{pubAllow: []string{"{{name()}"}},
		{pubAllow: []string{"{{{name()}}"}},
		{pubAllow: []string{"n.{{name()}}}"}},
		{subAllow: []string{"n.{{name()}}", "work q"}},
		{subAllow: []string{"work q"}},
		{subDeny: []string{"n.{{name()}}", "work q"}},
		{name: "a b", pubAllow: []string{"n.{{name()}}"}},
		{name: "a b", pubDeny: []string{"n.{{name()}}"}},
		{name: "a.b", pubAllow: []string{"n.{{name()}}"}, subDeny: []string{"n.{{name()}}"}},
		{name: ".", pubAllow: []string{"n.{{name()}}"}},
		{name: "a..b", subDeny: []string{"n.{{name()}}"}},
		{name: "a\tb", pubAllow: []string{"n.{{name()}}"}},
		{accountName: "a b", pubAllow: []string{"n.{{account-name()}}"}},
		{tags: []string{"t:*"}, pubAllow: []string{"n.{{tag(t)}}"}, subDeny: []string{"n.{{tag(t)}}"}},
		{tags: []string{"t:>"}, pubAllow: []string{"n.{{tag(t)}}.x", "y"}},
		{tags: []string{"t:", "t:x"}, pubAllow: []string{"n.{{tag(t)}}"}},
		{tags: []string{"t:", "t:x"}, subDeny: []string{"n.{{tag(t)}}"}},
		{tags: []string{"t:x:y"}, pubAllow: []string{"n.{{tag(t)}}", "n.{{tag(t:x)}}"}},
		{tags: tags("t", 64), pubAllow: []string{"{{tag(t)}}.{{tag(t)}}"}},
		{tags: tags("t", 65), pubAllow: []string{"{{tag(t)}}.{{tag(t)}}"}},
		{tags: tags("t", 16), pubAllow: []string{"{{tag(t)}}.{{ tag(t) }}.{{tag(t) }}"}},
		{tags: tags("t", 17), pubAllow: []string{"{{tag(t)}}.{{ tag(t) }}.{{tag(t) }}"}},
		{tags: tags("t", 64), subAllow: []string{"{{tag(t)}}.{{ tag(t) }}", "{{name()}}"}},
		{tags: tags("t", 64), subAllow: []string{"{{tag(t)}}.{{ tag(t) }}", "{{tag(t)}}"}},
		{tags: tags("t", 64), subAllow: []string{"{{name()}}", "{{tag(t)}}.{{ tag(t) }}"}},
		{tags: append(tags("t", 63), "t:a b"), subAllow: []string{"{{tag(t)}}.{{ tag(t) }}", "{{tag(t)}}"}},
	}
}

var probes = []string{ //nolint:gochecknoglobals // constant
	"n.ann", "n.bob", "n.a", "n.a.b", "n.ann.ann", "n.xanny", "n.{{name()}}", "n.ann}", "n", "acme", "acme.x", "t.red", "t.blue", "t.green",
	"d.sales", "t.red.eu.sales", "t.blue.us.sales", "t.red.red", "t.red.blue", "t.a.b", "ann.red", "ok", "x", "work", "{{}}", "{{name()", "{{name()}",
	"n.x", "n.*", "n.x.x", "n.x:y", "n.y", "y", "v1.v1", "v1.v2", "v1.v2.v3", "v1", "ann", "s.SUBJECT", "a.ACCOUNT",
}

// world of one role: signed claims, and how to sign in.
type staged struct {
	acct  *operatortest.Account
	state *account.State
	id    *account.Identity
	user  *operatortest.User
	key   string
}

func stage(t *testing.T, op *operatortest.Operator, r *role) *staged {
	t.Helper()
	if r.accountName == "" {
		r.accountName = "acme"
	}
	acct := op.Account(r.accountName)
	acct.Claims.Tags.Add(append(r.accountTags, "region:eu")...)
	kp := acct.Role("r", r.permissions())
	issuer, err := kp.PublicKey()
	issuer = operatortest.Must(t, issuer, err)
	acct.Claims.SigningKeys[issuer].(*jwt.UserScope).Template.BearerToken = true //nolint:errcheck // Role made it
	name := r.name
	if name == "" {
		name = "ann"
	}
	var claims *jwt.UserClaims
	user := acct.UserBy(kp, name, func(c *jwt.UserClaims) {
		c.SetScoped(true)
		c.Tags.Add(append(r.tags, "team:red", "team:blue", "Dept:Sales", "path:a.b")...)
		claims = c
	})
	s, err := account.Decode(acct.Key, acct.TokenByRoot(), 1, func(string) bool { return true })
	s = operatortest.Must(t, s, err)
	id := &account.Identity{Account: account.New(acct.Key, account.NoUsage{}, s), User: user.Key, Name: name, Tags: claims.Tags, Issuer: issuer}
	return &staged{acct: acct, state: s, id: id, user: user, key: issuer}
}

func (s *staged) compile() (*permission.Set, error) { return s.state.Signers[s.key].Template(s.id) }

// TestTemplatesLikeStock asks a stock nats-server and our roles the same.
func TestTemplatesLikeStock(t *testing.T) {
	op := operatortest.New(t)
	all := roles()
	worlds := make([]*staged, len(all))
	accounts := &server.MemAccResolver{}
	for i := range all {
		worlds[i] = stage(t, op, &all[i])
		if err := accounts.Store(worlds[i].acct.Key, worlds[i].acct.TokenByRoot()); err != nil {
			t.Fatal(err)
		}
	}
	operator, err := jwt.DecodeOperatorClaims(op.JWT)
	operator = operatortest.Must(t, operator, err)
	system := op.Account("SYS")
	if err := accounts.Store(system.Key, system.TokenByRoot()); err != nil {
		t.Fatal(err)
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, MaxControlLine: 1 << 20,
		TrustedOperators: []*jwt.OperatorClaims{operator}, AccountResolver: accounts, SystemAccount: system.Key,
	})
	s = operatortest.Must(t, s, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the stock server does not start")
	}
	for i, w := range worlds {
		r := &all[i]
		subjects := w.literal(probes)
		theirs, admitted := askStock(t, s.Addr().String(), w.user.Token, subjects)
		ours, err := w.compile()
		if (err == nil) != admitted {
			t.Errorf("%+v: we say %v, stock admits: %v", r, err, admitted)
			continue
		}
		if err != nil {
			continue
		}
		for _, subj := range subjects {
			if got := ours.Publish([]byte(subj)); got != theirs["pub "+subj] {
				t.Errorf("%+v: publish %q: %v here", r, subj, got)
			}
			if got := ours.Subscribe(subj, ""); got != theirs["sub "+subj] {
				t.Errorf("%+v: subscribe %q: %v here", r, subj, got)
			}
		}
	}
}

// literal returns the probes with the keys that were made meanwhile.
func (s *staged) literal(probes []string) []string {
	out := make([]string, len(probes))
	for i, p := range probes {
		out[i] = strings.NewReplacer("SUBJECT", s.user.Key, "ACCOUNT", s.acct.Key).Replace(p)
	}
	return out
}

// askStock signs in and tries every subject. It returns what was allowed, and
// whether the user was admitted.
func askStock(t *testing.T, addr, token string, subjects []string) (map[string]bool, bool) {
	t.Helper()
	nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	nc = operatortest.Must(t, nc, err)
	defer func() { _ = nc.Close() }() // asked already
	if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CONNECT {\"verbose\":false,\"jwt\":%q}\r\n", token)
	allowed := make(map[string]bool)
	for i, s := range subjects {
		allowed["pub "+s], allowed["sub "+s] = true, true
		fmt.Fprintf(&b, "PUB %s 0\r\n\r\nSUB %s %d\r\n", s, s, i)
	}
	b.WriteString("PING\r\n")
	if _, err := nc.Write([]byte(b.String())); err != nil {
		return nil, false
	}
	in := bufio.NewScanner(nc)
	for in.Scan() {
		line := strings.TrimSpace(in.Text())
		var subj string
		switch {
		case line == "PONG":
			return allowed, true
		case strings.Contains(line, "Authorization Violation"):
			return nil, false
		}
		if _, err := fmt.Sscanf(line, "-ERR 'Permissions Violation for Publish to %q", &subj); err == nil {
			allowed["pub "+subj] = false
		} else if _, err := fmt.Sscanf(line, "-ERR 'Permissions Violation for Subscription to %q", &subj); err == nil {
			allowed["sub "+subj] = false
		}
	}
	return nil, false
}

// Whoever may choose a name may not choose what it allows.
func TestNamesAreNoPatterns(t *testing.T) {
	op := operatortest.New(t)
	for _, name := range []string{"*", ">", "a.>", "*.a", "{{tag(team)}}"} {
		allow := stage(t, op, &role{name: name, pubAllow: []string{"n.{{name()}}.{{tag(team)}}"}})
		set, err := allow.compile()
		if err != nil {
			t.Fatal(err)
		}
		for _, subj := range []string{"n.x.red", "n.a.x.red", "n.x.a.red", "n.red.red", "n.blue.red"} {
			if set.Publish([]byte(subj)) {
				t.Errorf("the name %q allows %q", name, subj)
			}
		}
	}
	for _, name := range []string{"*", ">"} {
		if _, err := stage(t, op, &role{name: name, subDeny: []string{"n.{{name()}}"}}).compile(); err == nil {
			t.Errorf("the name %q is one in a deny list", name)
		}
	}
}
