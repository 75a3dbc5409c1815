package e2e_test

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testpostgres"
)

// site is one control plane and the broker that enrolled with it.
type site struct {
	client  string // of the broker
	control *control
	broker  daemon
}

// site starts a control plane on etcd and Postgres, and a broker of its own.
func (h *home) site(n int, c *testetcd.Cluster, ledgerURL string) *site {
	h.t.Helper()
	s := &site{client: freeAddr(h.t), control: h.control(n, ledgerURL)}
	s.control.start([]string{"-etcd-endpoints", strings.Join(c.Endpoints(), ",")})
	host, port, err := net.SplitHostPort(s.client)
	if err != nil {
		h.t.Fatal(err)
	}
	s.broker = h.daemon("covey-broker", "-a", host, "-p", port, "-control-plane", s.control.fleet, "-otlp", s.control.otlp,
		"-operator-public-key", h.content(s.control.publicFile()), "-join-token-file", s.control.tokenFile(), "-state-dir", filepath.Join(s.control.dir, "state"))
	return s
}

// TestThreeSitesAreOne runs a three-member etcd, Postgres, three control planes
// and three brokers, all processes of their own, through the life of two tenants
// while members and control planes are killed.
func TestThreeSitesAreOne(t *testing.T) {
	h := newHome(t)
	postgres := testpostgres.Start(t)
	etcd := testetcd.NewCluster(t, 3, testetcd.Options{})
	ledgerURL := h.secretFile("ledger.url", postgres.Database(t))
	var sites []*site
	for n := range 3 {
		sites = append(sites, h.site(n, etcd, ledgerURL))
	}
	for n, s := range sites {
		h.covey("context", "add", fmt.Sprint("staff", n), "--operator", "--use", "--api-addr", s.control.api, "--nats-url", "nats://"+s.client, "--api-key-file", filepath.Join(h.dir, "operator.key"))
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
	sites[0].control.end(syscall.SIGKILL)
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
