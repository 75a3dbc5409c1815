package controlplane_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/errs"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
	"github.com/coveymq/covey/test/conformance/proc"
)

// stockConfig names the configuration file of a stock nats-server that this test
// binary is to be, so that one can be killed as a process is.
const stockConfig = "COVEY_TEST_STOCK_CONFIG"

func stockMain() {
	file := os.Getenv(stockConfig)
	if file == "" {
		return
	}
	options, err := server.ProcessConfigFile(file)
	if err == nil {
		options.NoSigs, options.NoLog = true, true
		var s *server.Server
		if s, err = server.NewServer(options); err == nil {
			s.Start()
			s.WaitForShutdown()
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// stockNode is a process that is a stock nats-server with a full resolver.
type stockNode struct {
	name, url, dir string
	config         string
	cmd            *exec.Cmd
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := proc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// stockNodes are the servers of one cluster, none of them started.
func (p *plane) stockNodes(t *testing.T, cluster string, names ...string) []*stockNode {
	t.Helper()
	operator, err := controlplane.OperatorJWT(t.Context(), p.Server)
	if err != nil {
		t.Fatal(err)
	}
	system := controlplane.SystemAccount(p.Server)
	claims := p.rawClaims(t, system)
	var nodes []*stockNode
	var routes []string
	ports := make([]int, len(names))
	for i := range names {
		ports[i] = freePort(t)
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[i]))
	}
	for i, name := range names {
		dir, port := t.TempDir(), freePort(t)
		n := &stockNode{name: name, dir: filepath.Join(dir, "jwt"), url: fmt.Sprintf("nats://127.0.0.1:%d", port), config: filepath.Join(dir, "nats.conf")}
		text := fmt.Sprintf(`
server_name: %s
listen: 127.0.0.1:%d
operator: %s
system_account: %s
resolver: { type: full, dir: %q, allow_delete: true, interval: "1s" }
resolver_preload: { %s: %s }
cluster { name: %s, listen: 127.0.0.1:%d, routes: [%s] }
`, name, port, operator, system, n.dir, system, claims, cluster, ports[i], strings.Join(routes, ", "))
		if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func (n *stockNode) start(t *testing.T) {
	t.Helper()
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = append(os.Environ(), stockConfig+"="+n.config)
	n.cmd.Stderr = os.Stderr
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd := n.cmd
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	_, addr, _ := strings.Cut(n.url, "://")
	eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// kill ends the process as nothing else does: it says no word.
func (n *stockNode) kill(t *testing.T) {
	t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = n.cmd.Wait()
}

// has says whether the server keeps an account.
func (n *stockNode) has(account string) bool {
	_, err := os.Stat(filepath.Join(n.dir, account+".jwt"))
	return err == nil
}

// stranger puts an account into a server's directory that nobody here knows.
func (n *stockNode) stranger(t *testing.T) string {
	t.Helper()
	account, _ := nkeys.CreateAccount()
	public, _ := account.PublicKey()
	operator, _ := nkeys.CreateOperator()
	text, err := jwt.NewAccountClaims(public).Encode(operator)
	if err == nil {
		err = os.MkdirAll(n.dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(n.dir, public+".jwt"), []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// forget has a server lose an account behind our back.
func (n *stockNode) forget(t *testing.T, p *plane, account string) {
	t.Helper()
	user, err := controlplane.StockUser(t.Context(), p.Server)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(n.url, nats.Timeout(time.Minute), nats.UserJWT(func() (string, error) { return user.JWT, nil }, user.Signer.Sign))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	request, err := accounts.SignDeletion([]string{account}, controlplane.Signer(p.Server))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := nc.Request("$SYS.REQ.CLAIMS.DELETE", []byte(request), 10*time.Second); err != nil || n.has(account) {
		t.Fatalf("forget: %v, %v", m, err)
	}
}

// Two clusters of stock nats-servers follow: credentials work there, a revocation
// is done when every server answered for itself, and a server that was killed
// learns what it missed, deletions too.
func TestStockClustersFollow(t *testing.T) {
	p := start(t, t.TempDir())
	signed, owner := p.signUp(t, "acme")
	ctx := t.Context()
	conn := p.as(t, p.key).conn
	staff := adminv1.NewStockClusterServiceClient(conn)

	east, west := p.stockNodes(t, "east", "n1", "n2"), p.stockNodes(t, "west", "w1")
	all := append(slices.Clone(east), west...)
	stranger := west[0].stranger(t)
	for _, n := range all {
		n.start(t)
	}
	for name, nodes := range map[string][]*stockNode{"east": east, "west": west} {
		var urls []string
		for _, n := range nodes {
			urls = append(urls, n.url)
		}
		must[*adminv1.CreateStockClusterResponse](t, "add")(staff.CreateStockCluster(ctx, &adminv1.CreateStockClusterRequest{
			StockClusterId: name, StockCluster: &adminv1.StockCluster{Urls: urls}, Reason: "migration",
		}))
	}
	get := func(name string) *adminv1.StockCluster {
		t.Helper()
		return must[*adminv1.GetStockClusterResponse](t, "get")(staff.GetStockCluster(ctx, &adminv1.GetStockClusterRequest{Name: "stockClusters/" + name})).GetStockCluster()
	}
	inSync := func(name string, servers int) {
		t.Helper()
		var c *adminv1.StockCluster
		defer func() {
			if t.Failed() {
				t.Logf("%v", c)
			}
		}()
		eventually(t, func() bool {
			c = get(name)
			return c.GetState() == adminv1.StockCluster_STATE_IN_SYNC && len(c.GetServers()) == servers && c.GetLastVerifyTime() != nil
		})
	}
	inSync("east", 2)
	inSync("west", 1)
	if c := get("west"); c.GetForeignAccounts() != 1 || !west[0].has(stranger) || c.GetCredsFile() != "" {
		t.Errorf("an account that is none of ours is to stay: %v", c)
	}
	status := func(op *apiv1.Operation) *apiv1.Operation {
		t.Helper()
		return must[*apiv1.GetOperationResponse](t, "operation")(owner.operations.GetOperation(ctx, &apiv1.GetOperationRequest{Name: op.GetName()})).GetOperation()
	}
	done := func(op *apiv1.Operation) *apiv1.Operation {
		t.Helper()
		eventually(t, func() bool { op = status(op); return op.GetState() == apiv1.Operation_STATE_DONE })
		return op
	}

	const user = acmeAccount + "/users/default"
	issue := func() *apiv1.IssueCredentialResponse {
		t.Helper()
		return must[*apiv1.IssueCredentialResponse](t, "issue")(owner.credentials.IssueCredential(ctx, &apiv1.IssueCredentialRequest{Parent: user}))
	}
	first, second := issue(), issue()
	var clients []*client
	for _, n := range all {
		clients = append(clients, judge{url: n.url}.mustConnect(t, first.GetCredsFile()))
	}
	op := must[*apiv1.RevokeCredentialResponse](t, "revoke")(owner.credentials.RevokeCredential(ctx, &apiv1.RevokeCredentialRequest{Name: first.GetCredential().GetName()})).GetOperation()
	op = done(op)
	var named []string
	for _, b := range op.GetBrokers() {
		named = append(named, b.GetDisplayName())
		if !b.GetAcknowledged() || b.GetAcknowledgeTime() == nil || !strings.HasPrefix(b.GetBroker(), "stockClusters/") {
			t.Errorf("done, and %v", b)
		}
	}
	if slices.Sort(named); !slices.Equal(named, []string{"east/n1", "east/n2", "west/w1"}) {
		t.Errorf("the operation names %v", named)
	}
	for i, n := range all {
		judge{url: n.url}.wantRefused(t, first.GetCredsFile(), "revoked")
		clients[i].wantGone(t, "revoked")
	}

	// An account that will be gone, and a server that will not hear of it.
	must[*apiv1.CreateAccountResponse](t, "create")(owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: "brief"}))
	brief := "organizations/acme/accounts/brief"
	key := must[*apiv1.GetAccountResponse](t, "get")(owner.accounts.GetAccount(ctx, &apiv1.GetAccountRequest{Name: brief})).GetAccount().GetPublicKey()
	eventually(t, func() bool { return !slices.ContainsFunc(all, func(n *stockNode) bool { return !n.has(key) }) })
	east[1].kill(t)
	op = must[*apiv1.RevokeCredentialResponse](t, "revoke")(owner.credentials.RevokeCredential(ctx, &apiv1.RevokeCredentialRequest{Name: second.GetCredential().GetName()})).GetOperation()
	must[*apiv1.DeleteAccountResponse](t, "delete")(owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: brief}))
	must[*apiv1.PurgeAccountResponse](t, "purge")(owner.accounts.PurgeAccount(ctx, &apiv1.PurgeAccountRequest{Name: brief}))
	eventually(t, func() bool { return status(op).GetState() == apiv1.Operation_STATE_ENFORCED })
	eventually(t, func() bool { return get("east").GetState() == adminv1.StockCluster_STATE_DEGRADED })
	for _, b := range status(op).GetBrokers() {
		if b.GetAcknowledged() == (b.GetDisplayName() == "east/n2") {
			t.Errorf("with n2 killed: %v", b)
		}
	}
	eventually(t, func() bool { return !east[0].has(key) && !west[0].has(key) })

	east[1].start(t)
	done(op)
	for _, n := range all {
		judge{url: n.url}.wantRefused(t, second.GetCredsFile(), "revoked while a server was down")
		judge{url: n.url}.mustConnect(t, signed.GetCredsFile())
	}
	eventually(t, func() bool { return !east[0].has(key) && !east[1].has(key) })
	inSync("east", 2)

	// What nobody told us of shows, and is repaired.
	west[0].forget(t, p, p.keyOf(t, acmeAccount))
	must[*adminv1.ResyncStockClusterResponse](t, "resync")(staff.ResyncStockCluster(ctx, &adminv1.ResyncStockClusterRequest{Name: "stockClusters/west"}))
	eventually(t, func() bool { return west[0].has(p.keyOf(t, acmeAccount)) })
	must[*adminv1.DeleteStockClusterResponse](t, "remove")(staff.DeleteStockCluster(ctx, &adminv1.DeleteStockClusterRequest{Name: "stockClusters/west"}))
	if l := must[*adminv1.ListStockClustersResponse](t, "list")(staff.ListStockClusters(ctx, &adminv1.ListStockClustersRequest{})); len(l.GetStockClusters()) != 1 {
		t.Errorf("left are %v", l)
	}
	if len(status(op).GetBrokers()) != 2 {
		t.Errorf("a cluster that is not followed is still waited for: %v", status(op))
	}
}

func (p *plane) keyOf(t *testing.T, account string) string {
	t.Helper()
	return must[*apiv1.GetAccountResponse](t, "account")(p.as(t, p.key).accounts.GetAccount(t.Context(), &apiv1.GetAccountRequest{Name: account})).GetAccount().GetPublicKey()
}

// A cluster that cannot be reached says so, its operations are not done, and who
// vouches for it ends that.
func TestAStockClusterOutOfReach(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	staff := adminv1.NewStockClusterServiceClient(p.as(t, p.key).conn)
	must[*adminv1.CreateStockClusterResponse](t, "add")(staff.CreateStockCluster(ctx, &adminv1.CreateStockClusterRequest{
		StockClusterId: "dark", StockCluster: &adminv1.StockCluster{Urls: []string{fmt.Sprintf("nats://127.0.0.1:%d", freePort(t))}},
	}))
	eventually(t, func() bool {
		c := must[*adminv1.GetStockClusterResponse](t, "get")(staff.GetStockCluster(ctx, &adminv1.GetStockClusterRequest{Name: "stockClusters/dark"})).GetStockCluster()
		return c.GetState() == adminv1.StockCluster_STATE_UNREACHABLE && c.GetUnreachableSinceTime() != nil && c.GetLastError() != ""
	})
	op := must[*apiv1.SuspendAccountResponse](t, "suspend")(owner.accounts.SuspendAccount(ctx, &apiv1.SuspendAccountRequest{Name: acmeAccount})).GetOperation()
	if op.GetState() != apiv1.Operation_STATE_ENFORCED || len(op.GetBrokers()) != 1 || op.GetBrokers()[0].GetAcknowledged() {
		t.Errorf("with nobody who answers: %v", op)
	}
	eventually(t, func() bool {
		c := must[*adminv1.GetStockClusterResponse](t, "get")(staff.GetStockCluster(ctx, &adminv1.GetStockClusterRequest{Name: "stockClusters/dark"})).GetStockCluster()
		return c.GetBehind() == 1
	})
}

func TestStockClustersThatCannotBe(t *testing.T) {
	p := start(t, t.TempDir())
	staff := adminv1.NewStockClusterServiceClient(p.as(t, p.key).conn)
	const good = "nats://127.0.0.1:4222"
	add := func(id string, c *adminv1.StockCluster) error {
		_, err := staff.CreateStockCluster(t.Context(), &adminv1.CreateStockClusterRequest{StockClusterId: id, StockCluster: c, ValidateOnly: true})
		return err
	}
	for reason, c := range map[string]*adminv1.StockCluster{
		"PLAINTEXT_EXPOSED":  {Urls: []string{good, "nats://nats.example.com:4222"}},
		"STOCK_URL_INVALID":  {Urls: []string{"http://127.0.0.1:4222"}},
		"STOCK_TLS_INVALID":  {Urls: []string{good}, TlsCa: "no certificate"},
		"TLS_INCOMPLETE":     {Urls: []string{good}, TlsKey: "key"},
		"INVALID_CREDS_FILE": {Urls: []string{good}, CredsFile: "no credentials"},
	} {
		wantError(t, add("east", c), errs.Invalid, reason)
	}
	wantError(t, add("East", &adminv1.StockCluster{Urls: []string{good}}), errs.Invalid, "INVALID_FIELD")
	wantError(t, add("east", &adminv1.StockCluster{}), errs.Invalid, "INVALID_FIELD")
	if err := add("east", &adminv1.StockCluster{Urls: []string{good}}); err != nil {
		t.Error(err)
	}
	raw, err := json.Marshal(must[*adminv1.ListStockClustersResponse](t, "list")(staff.ListStockClusters(t.Context(), &adminv1.ListStockClustersRequest{})))
	if err != nil || string(raw) != "{}" {
		t.Errorf("after checks only: %s, %v", raw, err)
	}
	_, err = staff.GetStockCluster(t.Context(), &adminv1.GetStockClusterRequest{Name: "stockClusters/east"})
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
}
