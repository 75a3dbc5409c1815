package controlplane_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/internal/testetcd"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// secure gives a stock server that has not started a certificate, and lets it want
// one of clients, too.
func (n *stockNode) secure(t *testing.T, files *testetcd.TLSFiles, ofClients bool) {
	t.Helper()
	f, err := os.OpenFile(n.config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, "tls { cert_file: %q, key_file: %q, ca_file: %q, verify: %t }\n", files.ServerCert, files.ServerKey, files.CA, ofClients)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	n.url = strings.Replace(n.url, "nats://", "tls://", 1)
}

func contentOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// stockStaff makes and looks at clusters as the operator's staff.
type stockStaff struct {
	t      *testing.T
	client adminv1.StockClusterServiceClient
}

func (s stockStaff) add(id string, c *adminv1.StockCluster) {
	s.t.Helper()
	must[*adminv1.CreateStockClusterResponse](s.t, "add")(s.client.CreateStockCluster(s.t.Context(), &adminv1.CreateStockClusterRequest{StockClusterId: id, StockCluster: c}))
}

func (s stockStaff) get(id string) *adminv1.StockCluster {
	s.t.Helper()
	return must[*adminv1.GetStockClusterResponse](s.t, "get")(s.client.GetStockCluster(s.t.Context(), &adminv1.GetStockClusterRequest{Name: "stockClusters/" + id})).GetStockCluster()
}

func (s stockStaff) inSync(id string) {
	s.t.Helper()
	var c *adminv1.StockCluster
	defer func() {
		if s.t.Failed() {
			s.t.Logf("%v", c)
		}
	}()
	eventually(s.t, func() bool {
		c = s.get(id)
		return c.GetState() == adminv1.StockCluster_STATE_IN_SYNC && c.GetLastVerifyTime() != nil
	})
}

// Clusters of stock nats-servers whose clients come by TLS follow, those that want
// a certificate of clients, too; and a revocation is done when they said so.
func TestStockClustersFollowOverTLS(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	staff := stockStaff{t, adminv1.NewStockClusterServiceClient(p.as(t, p.key).conn)}
	files := testetcd.NewTLSFiles(t)
	ca := contentOf(t, files.CA)
	oneSided, mutual := p.stockNodes(t, "one-sided", "o1")[0], p.stockNodes(t, "mutual", "m1")[0]
	oneSided.secure(t, files, false)
	mutual.secure(t, files, true)
	oneSided.start(t)
	mutual.start(t)
	staff.add("one-sided", &adminv1.StockCluster{Urls: []string{oneSided.url}, TlsCa: ca})
	staff.add("mutual", &adminv1.StockCluster{Urls: []string{mutual.url}, TlsCa: ca, TlsCert: contentOf(t, files.ClientCert), TlsKey: contentOf(t, files.ClientKey)})
	staff.inSync("one-sided")
	staff.inSync("mutual")
	if c := staff.get("mutual"); c.GetTlsKey() != "" {
		t.Error("the client's key is shown")
	}

	leaked := must[*apiv1.IssueCredentialResponse](t, "issue")(owner.credentials.IssueCredential(t.Context(), &apiv1.IssueCredentialRequest{Parent: acmeAccount + "/users/default"}))
	var closed []chan struct{}
	connect := func(n *stockNode, options ...nats.Option) error {
		nc, err := nats.Connect(n.url, append([]nats.Option{
			nats.Timeout(time.Minute),
			nats.RootCAs(files.CA), nats.ClientCert(files.ClientCert, files.ClientKey), nats.NoReconnect(), nats.UserCredentialBytes([]byte(leaked.GetCredsFile())),
		}, options...)...)
		if err == nil {
			t.Cleanup(nc.Close)
		}
		return err
	}
	for _, n := range []*stockNode{oneSided, mutual} {
		out := make(chan struct{})
		closed = append(closed, out)
		if err := connect(n, nats.ClosedHandler(func(*nats.Conn) { close(out) })); err != nil {
			t.Fatalf("connect to %s: %v", n.name, err)
		}
	}
	op := must[*apiv1.RevokeCredentialResponse](t, "revoke")(owner.credentials.RevokeCredential(t.Context(), &apiv1.RevokeCredentialRequest{Name: leaked.GetCredential().GetName()})).GetOperation()
	eventually(t, func() bool {
		op = must[*apiv1.GetOperationResponse](t, "operation")(owner.operations.GetOperation(t.Context(), &apiv1.GetOperationRequest{Name: op.GetName()})).GetOperation()
		return op.GetState() == apiv1.Operation_STATE_DONE
	})
	if len(op.GetBrokers()) != 2 {
		t.Errorf("done, and %v", op)
	}
	for i, n := range []*stockNode{oneSided, mutual} {
		eventually(t, func() bool {
			select {
			case <-closed[i]:
				return true
			default:
				return false
			}
		})
		if err := connect(n); err == nil {
			t.Errorf("%s lets a revoked credential in", n.name)
		}
	}
}

// What is wrong with TLS is said in words of what to do about it, nothing is pushed
// to who is not known, and a cluster that is added rightly follows.
func TestStockClustersOverTLSThatAreNotTrusted(t *testing.T) {
	p := start(t, t.TempDir())
	p.signUp(t, "acme")
	staff := stockStaff{t, adminv1.NewStockClusterServiceClient(p.as(t, p.key).conn)}
	files, others := testetcd.NewTLSFiles(t), testetcd.NewTLSFiles(t)
	ca, pair := contentOf(t, files.CA), [2]string{contentOf(t, files.ClientCert), contentOf(t, files.ClientKey)}
	strange := [2]string{contentOf(t, others.ClientCert), contentOf(t, others.ClientKey)}
	server, open := p.stockNodes(t, "mutual", "m1")[0], p.stockNodes(t, "open", "o1")[0]
	server.secure(t, files, true)
	server.start(t)
	open.start(t)
	for id, c := range map[string]struct {
		cluster *adminv1.StockCluster
		says    []string
	}{
		"other-ca":     {&adminv1.StockCluster{Urls: []string{server.url}, TlsCa: contentOf(t, others.CA), TlsCert: pair[0], TlsKey: pair[1]}, []string{"authority", "--tls-ca"}},
		"no-ca":        {&adminv1.StockCluster{Urls: []string{server.url}, TlsCert: pair[0], TlsKey: pair[1]}, []string{"authority", "--tls-ca"}},
		"other-name":   {&adminv1.StockCluster{Urls: []string{strings.Replace(server.url, "127.0.0.1", "localhost", 1)}, TlsCa: ca, TlsCert: pair[0], TlsKey: pair[1]}, []string{"localhost", "--url"}},
		"no-cert":      {&adminv1.StockCluster{Urls: []string{server.url}, TlsCa: ca}, []string{"certificate of its clients", "--tls-cert"}},
		"strange-cert": {&adminv1.StockCluster{Urls: []string{server.url}, TlsCa: ca, TlsCert: strange[0], TlsKey: strange[1]}, []string{"certificate of its clients", "--tls-cert"}},
		"no-tls":       {&adminv1.StockCluster{Urls: []string{strings.Replace(open.url, "nats://", "tls://", 1)}, TlsCa: ca}, []string{"offers no TLS"}},
	} {
		staff.add(id, c.cluster)
		var got *adminv1.StockCluster
		eventually(t, func() bool { got = staff.get(id); return got.GetLastError() != "" })
		if got.GetState() != adminv1.StockCluster_STATE_UNREACHABLE || len(got.GetServers()) != 0 {
			t.Errorf("%s: %v", id, got)
		}
		for _, want := range c.says {
			if !strings.Contains(got.GetLastError(), want) {
				t.Errorf("%s: no %q in %q", id, want, got.GetLastError())
			}
		}
	}
	for _, n := range []*stockNode{server, open} {
		if n.has(p.keyOf(t, acmeAccount)) {
			t.Errorf("%s was told of accounts", n.name)
		}
	}
	staff.add("right", &adminv1.StockCluster{Urls: []string{server.url}, TlsCa: ca, TlsCert: pair[0], TlsKey: pair[1]})
	staff.inSync("right")
	if !server.has(p.keyOf(t, acmeAccount)) {
		t.Error("it has not got the account")
	}
}
