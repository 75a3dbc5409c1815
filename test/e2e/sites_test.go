package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testpostgres"
)

// site is one control plane and the broker that enrolled with it.
type site struct {
	api     string
	client  string // of the broker
	control daemon
	broker  daemon
}

// site starts a control plane on etcd and Postgres, and a broker of its own.
func (h *home) site(n int, c *testetcd.Cluster, ledgerURL string) *site {
	h.t.Helper()
	dir := filepath.Join(h.dir, fmt.Sprint("site", n))
	if err := os.MkdirAll(filepath.Join(dir, "cp"), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if n > 0 { // the key that seals secrets comes from the first
		key, err := os.ReadFile(filepath.Join(h.dir, "site0", "cp", "custody.key"))
		if err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cp", "custody.key"), key, 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	s := &site{api: freeAddr(h.t), client: freeAddr(h.t)}
	fleet, otlp := freeAddr(h.t), freeAddr(h.t)
	token, operator := filepath.Join(dir, "join.token"), filepath.Join(dir, "operator.pub")
	s.control = h.daemon("covey-controlplane", "-data", filepath.Join(dir, "cp"), "-api", s.api, "-http", freeAddr(h.t), "-fleet", fleet, "-otlp", otlp,
		"-etcd-endpoints", strings.Join(c.Endpoints(), ","), "-ledger-url-file", ledgerURL,
		"-operator-key-file", filepath.Join(h.dir, "operator.key"), "-join-token-file", token, "-operator-public-key-file", operator)
	h.content(token)
	host, port, err := net.SplitHostPort(s.client)
	if err != nil {
		h.t.Fatal(err)
	}
	s.broker = h.daemon("covey-broker", "-a", host, "-p", port, "-control-plane", fleet, "-otlp", otlp,
		"-operator-public-key", h.content(operator), "-join-token-file", token, "-state-dir", filepath.Join(dir, "state"))
	return s
}

// TestThreeSitesAreOne runs a three-member etcd, Postgres, three control planes
// and three brokers, all processes of their own, through the life of two tenants
// while members and control planes are killed.
func TestThreeSitesAreOne(t *testing.T) {
	h := newHome(t)
	postgres := testpostgres.Start(t)
	etcd := testetcd.NewCluster(t, 3, testetcd.Options{})
	ledgerURL := filepath.Join(h.dir, "ledger.url")
	if err := os.WriteFile(ledgerURL, []byte(postgres.Database(t)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var sites []*site
	for n := range 3 {
		sites = append(sites, h.site(n, etcd, ledgerURL))
	}
	for n, s := range sites {
		h.covey("context", "add", fmt.Sprint("staff", n), "--operator", "--use", "--api-addr", s.api, "--nats-url", "nats://"+s.client, "--api-key-file", filepath.Join(h.dir, "operator.key"))
		eventually(t, "the API answers", func() bool { return h.run("covey", "org", "list").code == 0 })
	}

	// Two tenants, signed up at two control planes, are let in by every broker,
	// and do not see each other.
	h.covey("context", "use", "staff0")
	acme := h.signUp("acme")
	h.covey("context", "use", "staff1")
	globex := h.signUp("globex")
	var gone atomic.Int64
	onEach := func(creds string, opts ...nats.Option) (all []*nats.Conn) {
		for _, s := range sites {
			b := &box{home: h, ready: ready{NATSURL: "nats://" + s.client}}
			eventually(t, "the broker lets the tenant in", func() bool {
				nc, err := nats.Connect(b.NATSURL, nats.UserCredentials(creds))
				if err == nil {
					nc.Close()
				}
				return err == nil
			})
			all = append(all, b.connect(creds, opts...))
		}
		return all
	}
	ours := onEach(acme.CredsFile, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { gone.Add(1) }))
	theirs := onEach(globex.CredsFile)
	for n := range sites {
		mine, other := subscribe(t, ours[n], "news", ""), subscribe(t, theirs[n], "news", "")
		publish(t, ours[n], "news", "for acme")
		if m := next(t, mine); string(m.Data) != "for acme" {
			t.Errorf("site %d: received %q", n, m.Data)
		}
		flush(t, theirs[n])
		if pending, _, _ := other.Pending(); pending != 0 {
			t.Errorf("site %d: a message crossed from one tenant to another", n)
		}
	}

	// What one control plane revokes is gone at every broker, and the operation
	// proves it.
	at := func(n int, args ...string) []string { return append(args, "--context", fmt.Sprint("staff", n)) }
	began := time.Now()
	h.covey(at(2, "user", "suspend", "default", "--org", "acme", "--account", "default")...)
	eventually(t, "revoked everywhere", func() bool { return gone.Load() == int64(len(sites)) })
	t.Logf("in force on all brokers after %s", time.Since(began).Round(time.Millisecond))

	// A member of etcd and a control plane are killed: the others go on.
	etcd.Members[0].Kill(t)
	if err := sites[0].control.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = sites[0].control.wait() // killed
	publish(t, theirs[0], "news", "its broker serves on")
	h.covey(at(1, "account", "create", "orders", "--org", "globex")...)
	h.covey(at(2, "account", "delete", "orders", "--org", "globex")...)
	h.covey(at(1, "account", "undelete", "orders", "--org", "globex")...)
	h.covey(at(2, "account", "delete", "orders", "--org", "globex")...)
	h.covey(at(1, "account", "purge", "orders", "--org", "globex")...)
	if o := h.run("covey", at(2, "account", "get", "orders", "--org", "globex")...); o.code != 3 {
		t.Errorf("a purged account: %+v", o)
	}
	eventually(t, "another control plane moves the audit log, and it is whole", func() bool {
		return h.run("covey", at(1, "admin", "audit", "verify")...).code == 0
	})

	// The copy of the store is good, and restored it is the same.
	file := filepath.Join(h.dir, "store.backup")
	h.covey(at(2, "admin", "backup", file)...)
	var was, is map[string]any
	h.coveyJSON(&was, "admin", "verify", file)
	empty := testetcd.NewCluster(t, 1, testetcd.Options{})
	h.coveyJSON(&is, "admin", "restore", file, "--data", filepath.Join(h.dir, "restored"), "--etcd-endpoints", empty.Endpoints()[0])
	if fmt.Sprint(was) != fmt.Sprint(is) {
		t.Errorf("restored %v of %v", is, was)
	}
}
