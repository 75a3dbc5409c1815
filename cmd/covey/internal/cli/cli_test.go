package cli_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coveymq/covey/cmd/covey/internal/cli"
	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/internal/testleak"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func TestMain(m *testing.M) { testleak.Main(m) }

var testTime = time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)

// user is somebody at a terminal: a home directory and a control plane.
type user struct {
	t     *testing.T
	api   *fakeAPI
	addr  string
	dir   string
	env   map[string]string
	store *contexts.Store
	probe func(context.Context, *contexts.Context) (string, time.Duration, error)
}

func newUser(t *testing.T) *user {
	t.Helper()
	u := &user{t: t, dir: t.TempDir()}
	u.api, u.addr = startFake(t)
	u.env = map[string]string{"XDG_CONFIG_HOME": u.dir}
	u.store = contexts.Open(filepath.Join(u.dir, "covey"))
	return u
}

// withOperator adds the context that `covey up` makes.
func (u *user) withOperator() *user {
	u.t.Helper()
	c := &contexts.Context{
		Name: "local-operator", Role: contexts.RoleOperator, Installation: "inst", APIAddr: u.addr,
		NATSURL: "nats://127.0.0.1:4222", APIKey: contexts.NewAPIKey(operatorKey),
	}
	if err := u.store.Put(c); err != nil {
		u.t.Fatal(err)
	}
	if err := u.store.Use(c.Name); err != nil {
		u.t.Fatal(err)
	}
	return u
}

// withTenant signs acme up.
func (u *user) withTenant() *user {
	u.t.Helper()
	u.withOperator()
	u.mustRun("signup", "--org", "acme", "--email", "a@b.c")
	return u
}

func (u *user) run(args ...string) (code int, stdout, stderr string) {
	u.t.Helper()
	var out, err bytes.Buffer
	app := cli.New(cli.Env{
		In: strings.NewReader(""), Out: &out, Err: &err, Getenv: func(k string) string { return u.env[k] },
		Version: cli.NewVersion("v0", "c0"), Probe: u.probe,
	})
	code = app.Run(u.t.Context(), args)
	return code, out.String(), err.String()
}

func (u *user) mustRun(args ...string) string {
	u.t.Helper()
	code, stdout, stderr := u.run(args...)
	if code != 0 {
		u.t.Fatalf("covey %v: exit code %d: %s", args, code, stderr)
	}
	return stdout
}

func TestSignupPrintsWritesAndSelects(t *testing.T) {
	u := newUser(t).withOperator()
	file := filepath.Join(u.dir, "covey", "creds", "acme-default-admin.creds")
	got := u.mustRun("signup", "--org", "acme", "--email", "a@b.c", "--json")
	want := `{"organization":"organizations/acme","account":"organizations/acme/accounts/default","account_public_key":"APUBLIC",` +
		`"user":"organizations/acme/accounts/default/users/admin","creds_file":"` + file + `","context":"acme"}` + "\n"
	if got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
	for path, mode := range map[string]os.FileMode{
		file: 0o600, filepath.Dir(file): 0o700, filepath.Join(u.dir, "covey", "contexts", "acme.json"): 0o600,
		filepath.Join(u.dir, "covey", "contexts"): 0o700,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want %v", path, info, err, mode)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "creds of acme" {
		t.Errorf("credentials file = %q, %v", data, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) != 0 {
		t.Errorf("files left behind: %v", left)
	}
	c, err := u.store.Get("acme")
	if err != nil || c.APIKey.Reveal() != "covey_key_acme_secret" || c.Organization != "acme" || c.Account != "default" || c.Installation != "inst" {
		t.Errorf("context = %+v, %v", c, err)
	}
	if current, _ := u.store.Current(); current != "acme" {
		t.Errorf("selected = %q", current)
	}
}

func TestSecondSignupUsesTheOperatorAgain(t *testing.T) {
	u := newUser(t).withTenant()
	u.mustRun("signup", "--org", "globex", "--email", "a@b.c")
	want := "/covey.api.v1.OrganizationService/SignUp[Bearer " + operatorKey + "]"
	if diff := cmp.Diff([]string{want, want}, u.api.called()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestSignupRefusesBeforeItCalls(t *testing.T) {
	for name, tc := range map[string]struct {
		arrange func(u *user)
		args    []string
		code    int
		want    string
	}{
		"context exists":        {func(u *user) { _ = u.store.Put(&contexts.Context{Name: "acme"}) }, nil, 1, "covey context delete acme"},
		"file exists":           {func(u *user) { _ = os.WriteFile(filepath.Join(u.dir, "x.creds"), nil, 0o600) }, []string{"--creds-out", "DIR/x.creds"}, 1, "exists"},
		"no place for the file": {func(*user) {}, []string{"--creds-out", "DIR/none/x.creds"}, 1, "prepare the credentials file"},
		"no operator":           {func(u *user) { _ = u.store.Delete("local-operator") }, nil, 2, "covey up"},
		"unknown context":       {func(*user) {}, []string{"--context", "nobody"}, 3, `no context named "nobody"`},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t).withOperator()
			tc.arrange(u)
			args := []string{"signup", "--org", "acme", "--email", "a@b.c"}
			for _, a := range tc.args {
				args = append(args, strings.ReplaceAll(a, "DIR", u.dir))
			}
			code, _, stderr := u.run(args...)
			if code != tc.code || !strings.Contains(stderr, tc.want) || !strings.Contains(stderr, "next:") {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			if calls := u.api.called(); len(calls) != 0 {
				t.Errorf("the server was called: %v", calls)
			}
		})
	}
}

func TestSignupNeverReplacesACredentialsFileOfAnEarlierTenant(t *testing.T) {
	u := newUser(t).withTenant()
	if err := u.store.Delete("acme"); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(u.dir, "covey", "creds", "acme-default-admin.creds")
	if err := os.WriteFile(first, []byte("older"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := u.mustRun("signup", "--org", "acme", "--email", "a@b.c", "--json")
	if data, _ := os.ReadFile(first); string(data) != "older" {
		t.Errorf("the older file holds %q", data)
	}
	if !strings.Contains(out, "acme-default-admin-2.creds") {
		t.Errorf("printed %s", out)
	}
}

func TestServerErrorsHaveCauseNextStepAndExitCode(t *testing.T) {
	u := newUser(t).withTenant()
	for id, want := range map[string]int{"ghost": 3, "denied": 4, "full": 5, "wrong": 2} {
		code, stdout, stderr := u.run("account", "get", id)
		message := "error: no account organizations/acme/accounts/" + id + "\n  next: look again\n  request: req-7\n"
		if code != want || stdout != "" || stderr != message {
			t.Errorf("%s: exit code %d, want %d: %s", id, code, want, stderr)
		}
	}
	code, _, stderr := u.run("user", "get", "x")
	if code != 1 || !strings.Contains(stderr, "next:") {
		t.Errorf("unimplemented: exit code %d: %s", code, stderr)
	}
}

func TestUnreachableControlPlaneSaysSo(t *testing.T) {
	u := newUser(t)
	if err := u.store.Put(&contexts.Context{Name: "gone", APIAddr: "127.0.0.1:1", Organization: "acme"}); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := u.run("--context", "gone", "account", "list")
	if code != 1 || !strings.Contains(stderr, "covey up") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestKeyNeverLeavesTheMachineInClear(t *testing.T) {
	u := newUser(t)
	// 0.0.0.0 reaches the fake, which speaks no TLS, and is no loopback address.
	addr := strings.Replace(u.addr, "127.0.0.1", "0.0.0.0", 1)
	c := &contexts.Context{Name: "remote", APIAddr: addr, Organization: "acme", APIKey: contexts.NewAPIKey("k")}
	if err := u.store.Put(c); err != nil {
		t.Fatal(err)
	}
	code, _, _ := u.run("--context", "remote", "--timeout", "2s", "account", "list")
	if code == 0 || len(u.api.called()) != 0 {
		t.Errorf("exit code %d, calls %v", code, u.api.called())
	}
}

func TestSuspendWaitsForTheBrokers(t *testing.T) {
	u := newUser(t).withTenant()
	u.api.enforced = 1
	code, stdout, stderr := u.run("account", "suspend", "default")
	if code != 0 || !strings.Contains(stderr, "broker first enforces it") || !strings.Contains(stdout, "op1 (enforced)") {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	if out := u.mustRun("account", "suspend", "default", "--json"); !strings.Contains(out, `"state":"STATE_ENFORCED"`) {
		t.Errorf("printed %s", out)
	}
}

func TestWaitThatEndsTooEarlyIsPartial(t *testing.T) {
	u := newUser(t).withTenant()
	code, stdout, stderr := u.run("account", "suspend", "default", "--wait-timeout", "30ms")
	if code != 6 || !strings.Contains(stderr, "missing: first\n") || !strings.Contains(stdout, "suspended") {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	if code, _, _ := u.run("account", "suspend", "default", "--wait=false"); code != 0 {
		t.Errorf("without waiting: exit code %d", code)
	}
}

func TestUpdateSendsWhatFlagsNameAndNothingElse(t *testing.T) {
	u := newUser(t).withTenant()
	u.mustRun("account", "update", "orders", "--connections", "0", "--payload", "unlimited", "--display-name", "")
	got := u.api.update
	if diff := cmp.Diff([]string{"display_name", "limits.connections", "limits.payload_bytes"}, got.GetUpdateMask().GetPaths()); diff != "" {
		t.Errorf("mask (-want +got):\n%s", diff)
	}
	l := got.GetAccount().GetLimits()
	if l.Connections == nil || *l.Connections != 0 || l.PayloadBytes != nil || got.GetRequestId() == "" {
		t.Errorf("request = %v", got)
	}
	for _, args := range [][]string{{"--connections", "many"}, {"--connections", "-1"}, {"--credential-ttl", "1.5s"}, {}} {
		if code, _, stderr := u.run(append([]string{"account", "update", "orders"}, args...)...); code != 2 {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
}

func TestLimitFlags(t *testing.T) {
	u := newUser(t).withTenant()
	u.mustRun("account", "update", "orders", "--limit", "msgs-in=1000/2000/refuse", "--limit", "subscriptions=10", "--limit", "pending=unlimited", "--limit", "bytes-out=5//close")
	got := u.api.update
	if diff := cmp.Diff([]string{"limits.msgs_in", "limits.total_subscriptions", "limits.pending_bytes", "limits.bytes_out"}, got.GetUpdateMask().GetPaths()); diff != "" {
		t.Errorf("mask (-want +got):\n%s", diff)
	}
	l := got.GetAccount().GetLimits()
	if q := l.GetMsgsIn(); q.GetAmount() != 1000 || q.GetBurst() != 2000 || q.GetPolicy() != apiv1.Quota_POLICY_REFUSE {
		t.Errorf("msgs-in = %v", q)
	}
	if l.GetTotalSubscriptions().GetAmount() != 10 || l.GetPendingBytes() != nil || l.GetBytesOut().GetPolicy() != apiv1.Quota_POLICY_CLOSE {
		t.Errorf("limits = %v", l)
	}
	for _, bad := range []string{"msgs-in", "speed=1", "msgs-in=x", "msgs-in=-1", "msgs-in=1/2/3", "msgs-in=1/2/slow/x", "msgs-in=1/2/unspecified"} {
		if code, _, stderr := u.run("account", "update", "orders", "--limit", bad); code != 2 {
			t.Errorf("--limit %s: exit code %d: %s", bad, code, stderr)
		}
	}
	if code, _, _ := u.run("account", "update", "orders", "--limit", "connects=1", "--limit", "connects=2"); code != 2 {
		t.Errorf("a limit that is given twice: exit code %d", code)
	}
}

func TestUsageIsPlainNumbers(t *testing.T) {
	u := newUser(t).withTenant()
	got := u.mustRun("usage", "--account", "default", "--since", "2026-11-01", "--json")
	want := `{"start_time":"2026-11-01T08:00:00Z","end_time":"2026-11-01T08:00:00Z","accounts":[{"account":"organizations/acme/accounts/default",` +
		`"account_public_key":"APUBLIC","published_messages":1000000,"published_bytes":128000000,` +
		`"delivered_messages":9007199254740993,"delivered_bytes":4,"reported_time":null}]}` + "\n"
	if got != want {
		t.Errorf("printed\n%s\nwant\n%s", got, want)
	}
	if u.api.usage.GetAccount() != "organizations/acme/accounts/default" || u.api.usage.GetStartTime().AsTime().Day() != 1 {
		t.Errorf("request = %v", u.api.usage)
	}
	if code, _, _ := u.run("usage", "--since", "yesterday"); code != 2 {
		t.Errorf("bad time: exit code %d", code)
	}
}

func TestIssueWritesOnceAndBringsYourOwnKey(t *testing.T) {
	u := newUser(t).withTenant()
	out := filepath.Join(u.dir, "two.creds")
	u.mustRun("creds", "issue", "--ttl", "1h", "--out", out)
	if data, err := os.ReadFile(out); err != nil || string(data) != "seed and jwt" || u.api.issued.GetTtlSeconds() != 3600 {
		t.Errorf("file = %q, %v; request %v", data, err, u.api.issued)
	}
	if code, _, stderr := u.run("creds", "issue", "--out", out); code != 1 || !strings.Contains(stderr, "--force") {
		t.Errorf("second issue: exit code %d: %s", code, stderr)
	}
	u.mustRun("creds", "issue", "--out", out, "--force")
	if got := u.mustRun("creds", "issue", "--public-key", "UKEY"); got != "the.jwt\n" {
		t.Errorf("own key printed %q", got)
	}
}

func TestUserPermissionsAndScope(t *testing.T) {
	u := newUser(t).withTenant()
	u.mustRun("user", "create", "billing", "--account", "orders", "--allow-pub", "a.>", "--allow-pub", "b", "--deny-sub", "c")
	r := u.api.user
	if r.GetParent() != "organizations/acme/accounts/orders" || len(r.GetUser().GetPermissions().GetPublish().GetAllow()) != 2 {
		t.Errorf("request = %v", r)
	}
	if code, _, _ := u.run("user", "create", "x", "--role", "r", "--allow-pub", "a"); code != 2 {
		t.Errorf("role with rules: exit code %d", code)
	}
	// Another organization's context account does not leak into --org.
	if code, _, stderr := u.run("user", "list", "--org", "globex"); code != 2 || !strings.Contains(stderr, "--account") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestListsReadEveryPageAndDefuseText(t *testing.T) {
	u := newUser(t).withOperator()
	out := u.mustRun("org", "list")
	if !strings.Contains(out, "one") || !strings.Contains(out, "two") || strings.Contains(out, "\x1b") {
		t.Errorf("printed %q", out)
	}
}

func TestContextsNeverShowTheKey(t *testing.T) {
	u := newUser(t).withTenant()
	for _, args := range [][]string{{"list"}, {"show"}, {"show", "acme"}, {"list", "--json"}, {"show", "--json"}} {
		if out := u.mustRun(append([]string{"context"}, args...)...); strings.Contains(out, "secret") || !strings.Contains(out, "acme") {
			t.Errorf("context %v printed %s", args, out)
		}
	}
	u.mustRun("context", "use", "local-operator")
	u.mustRun("context", "delete", "acme")
	if code, _, _ := u.run("context", "use", "acme"); code != 3 {
		t.Errorf("use of a deleted context: exit code %d", code)
	}
	if code, _, _ := u.run("context", "show", "../../etc/passwd"); code != 2 {
		t.Errorf("a path as a name: exit code %d", code)
	}
}

func TestEnvironmentSelectsAndFlagWins(t *testing.T) {
	u := newUser(t).withTenant()
	u.env["COVEY_CONTEXT"] = "local-operator"
	if out := u.mustRun("context", "show"); !strings.Contains(out, "local-operator") {
		t.Errorf("printed %s", out)
	}
	if out := u.mustRun("--context", "acme", "context", "show"); !strings.Contains(out, "organization:") {
		t.Errorf("printed %s", out)
	}
}

func TestWrongUsageIsExitCodeTwo(t *testing.T) {
	u := newUser(t).withTenant()
	for _, args := range [][]string{
		{"acount"},
		{"account", "crate"},
		{"account", "create"},
		{"account", "create", ""},
		{"account", "create", "a/b"},
		{"account", "get", "a", "b"},
		{"account", "list", "--bogus"},
		{"signup"},
		{"account", "get", "organizations/acme"},
		{"creds", "revoke", "organizations/acme/accounts//users/u/credentials/c"},
	} {
		code, _, stderr := u.run(args...)
		if code != 2 || !strings.HasPrefix(stderr, "error: ") || !strings.Contains(stderr, "next: ") {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
	_, _, stderr := u.run("account", "crate")
	if !strings.Contains(stderr, "covey account create") {
		t.Errorf("no suggestion: %s", stderr)
	}
}
