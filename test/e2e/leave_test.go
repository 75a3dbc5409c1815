package e2e_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// claimsOf asks the control plane for an account's claims, as servers do.
func (b *box) claimsOf(key string) *jwt.AccountClaims {
	b.t.Helper()
	resp, err := http.Get(b.HTTPURL + "/jwt/v1/accounts/" + key) //nolint:noctx // a test's own server
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	claims, err := jwt.DecodeAccountClaims(string(text))
	if err != nil {
		b.t.Fatalf("claims of %s: %s: %v", key, text, err)
	}
	return claims
}

// stockOn starts a stock nats-server on a configuration file as it is.
func stockOn(t *testing.T, conf string) string {
	t.Helper()
	options, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	options.Host, options.Port, options.NoSigs, options.NoLog = "127.0.0.1", -1, true, true
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("stock nats-server does not start")
	}
	return s.ClientURL()
}

func reaches(t *testing.T, url, creds string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.UserCredentials(creds), nats.Timeout(patience))
	if err != nil {
		t.Fatalf("connect with %s: %v", filepath.Base(creds), err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// An organization leaves with everything: a stock nats-server and the `nats`
// program take what it is handed, and another control plane makes the same of it.
func TestAnOrganizationLeavesAndComesBack(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	acme := h.signUp("acme")
	var shop struct {
		Account struct {
			PublicKey string `json:"public_key"`
		} `json:"account"`
	}
	h.covey("account", "create", "shop", "--connections", "5", "--payload", "65536")
	h.coveyJSON(&shop.Account, "account", "get", "shop")
	h.covey("role", "create", "reader", "--account", "shop", "--allow-sub", "news.>", "--allow-sub", "_INBOX.>", "--deny-pub", "secret.>")
	h.covey("key", "stage", "reader", "--account", "shop")
	h.covey("user", "create", "viewer", "--account", "shop", "--role", "reader")
	h.covey("user", "create", "asleep", "--account", "shop")
	viewer := filepath.Join(h.dir, "viewer.creds")
	h.covey("creds", "issue", "viewer", "--account", "shop", "--out", viewer)
	h.covey("creds", "issue", "asleep", "--account", "shop", "--out", filepath.Join(h.dir, "asleep.creds"))
	h.covey("user", "suspend", "asleep", "--account", "shop")
	h.covey("export", "create", "prices", "price.*", "--account", "default", "--type", "service")
	h.covey("import", "create", "prices", "--account", "shop", "--from", "default/prices", "--local", "shop.price.$1")

	dir := filepath.Join(h.dir, "share", "nats", "nsc") // where `nats auth` looks
	var left struct {
		Accounts, Users int
		Configuration   string
		Notes           []string
	}
	h.coveyJSON(&left, "org", "export", dir, "--creds")
	if left.Accounts != 2 || left.Users != 2 || len(left.Notes) != 2 { // the suspended user gets no credential, and has none
		t.Errorf("exported %+v", left)
	}
	if again := h.run("covey", "org", "export", dir); again.code == 0 || !strings.Contains(again.stderr, "there already") {
		t.Errorf("exported over what is there: %+v", again)
	}
	listed := h.run("nats", "auth", "account", "ls", "acme")
	if !strings.Contains(listed.stdout, "shop") || !strings.Contains(listed.stdout, "default") {
		t.Errorf("`nats auth` sees %+v", listed)
	}

	url := stockOn(t, left.Configuration)
	reaches(t, url, acme.CredsFile)
	exported := filepath.Join(dir, "keys", "creds", "acme")
	asker := reaches(t, url, filepath.Join(exported, "shop", "viewer.creds"))
	answers := reaches(t, url, filepath.Join(exported, "default", "default.creds"))
	if _, err := nats.Connect(url, nats.UserCredentials(filepath.Join(h.dir, "asleep.creds"))); err == nil {
		t.Error("a user who is suspended here connects there")
	}
	if _, err := answers.Subscribe("price.*", func(m *nats.Msg) { _ = m.Respond([]byte(m.Subject)) }); err != nil {
		t.Fatal(err)
	}
	if err := answers.Flush(); err != nil {
		t.Fatal(err)
	}
	if m, err := asker.Request("shop.price.tea", nil, 5*time.Second); err != nil || string(m.Data) != "price.tea" {
		t.Errorf("the import answers %v, %v", m, err)
	}

	other := newHome(t)
	out := other.covey("admin", "import", "nsc", dir, "--data", filepath.Join(other.data, "controlplane"), "--org", "acme")
	if secrets.MatchString(out) {
		t.Error("the import prints a secret")
	}
	back := other.up(anyPorts()...)
	for _, key := range []string{acme.AccountPublicKey, shop.Account.PublicKey} {
		was, is := b.claimsOf(key), back.claimsOf(key)
		if d := cmp.Diff(was, is, cmpopts.IgnoreFields(jwt.ClaimsData{}, "ID", "IssuedAt", "Issuer"), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("claims - before, + after:\n%s", d)
		}
	}
	back.connect(viewer)
	key, err := os.ReadFile(filepath.Join(other.data, "controlplane", "owners", "acme.key"))
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(other.dir, "key")
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	other.covey("context", "add", "acme", "--api-addr", back.APIAddr, "--org", "acme", "--api-key-file", keyFile, "--use")
	for command, want := range map[string]string{"user list --account shop": "viewer", "role list --account shop": "reader", "import list --account shop": "prices", "export list --account default": "prices"} {
		if got := other.covey(strings.Fields(command)...); !strings.Contains(got, want) {
			t.Errorf("%s shows %q", command, got)
		}
	}
}
