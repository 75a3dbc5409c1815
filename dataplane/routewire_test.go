package dataplane_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/dataplane/internal/secure/securetest"
)

// file writes a configuration.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "broker.conf")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// clustered is a configuration with a cluster block of one's own.
func clustered(block string, seeds ...member) string {
	var urls []string
	for _, s := range seeds {
		urls = append(urls, fmt.Sprintf("%q", s.RouteURL()))
	}
	return fmt.Sprintf("listen: \"127.0.0.1:-1\"\ncluster { name: east, listen: \"127.0.0.1:-1\", routes: [%s]\n%s }", strings.Join(urls, ", "), block)
}

// coveyFile runs a broker of ours by a configuration file.
func coveyFile(t *testing.T, text string) *running {
	t.Helper()
	o, err := config.Load(file(t, text))
	must(t, err)
	cfg, err := dataplane.BrokerConfig(o)
	must(t, err)
	return coveyConfig(t, cfg)
}

// stockFile runs a nats-server by a configuration file.
func stockFile(t *testing.T, text string) stockServer {
	t.Helper()
	o, err := server.ProcessConfigFile(file(t, text))
	must(t, err)
	o.NoLog, o.NoSigs = true, true
	s, err := server.NewServer(o)
	must(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("nats-server does not start")
	}
	return stockServer{s}
}

// either runs a test with one of ours that connects to a stock server, the other
// way round, and among ours.
func either(t *testing.T, ours, theirs string, test func(t *testing.T, a, b member)) {
	t.Helper()
	t.Run("soliciting", func(t *testing.T) {
		s := stockFile(t, clustered(theirs))
		test(t, coveyFile(t, clustered(ours, s)), s)
	})
	t.Run("accepting", func(t *testing.T) {
		b := coveyFile(t, clustered(ours))
		test(t, b, stockFile(t, clustered(theirs, b)))
	})
	t.Run("among ours", func(t *testing.T) {
		a := coveyFile(t, clustered(theirs))
		test(t, a, coveyFile(t, clustered(ours, a)))
	})
}

func both(t *testing.T, a, b member) {
	t.Helper()
	meshed(t, a, b)
	carries(t, a, b)
	carries(t, b, a)
	bulk(t, a, b)
	bulk(t, b, a)
}

// bulk sends enough in one direction that buffers of every kind overflow.
func bulk(t *testing.T, from, to member) {
	t.Helper()
	pub, far := dialURL(t, from), dialURL(t, to)
	const n, size = 120, 60_000
	got := make(chan *nats.Msg, n+1)
	subject := nats.NewInbox() // of its own, so that no other subscriber is taken for this one
	_, err := far.ChanSubscribe(subject, got)
	must(t, err)
	_, err = far.Subscribe(subject+".ready", func(m *nats.Msg) { _ = m.Respond(nil) })
	must(t, err)
	interested(t, pub, subject+".ready")
	body := func(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%d:%x ", i, i*7919), size/16) }
	for i := range n {
		must(t, pub.Publish(subject, body(i)))
	}
	must(t, pub.FlushTimeout(3*time.Minute))
	deadline := time.After(3 * time.Minute) // the best compression takes its time under the race detector
	for i := range n {
		select {
		case m := <-got:
			if !bytes.Equal(m.Data, body(i)) {
				t.Fatalf("message %d is another one: %.40q", i, m.Data)
			}
		case <-deadline:
			t.Fatalf("%d of %d messages came", i, n)
		}
	}
}

// compression returns what a broker says of its links to the others.
func compression(t *testing.T, m member) []string {
	t.Helper()
	var out []string
	switch b := m.(type) {
	case *running:
		for _, r := range routez(t, b).Routes {
			out = append(out, r.Compression)
		}
	case stockServer:
		z, err := b.Routez(nil)
		must(t, err)
		for _, r := range z.Routes {
			out = append(out, r.Compression)
		}
	}
	return out
}

func TestCompressionIsNegotiated(t *testing.T) {
	thresholds := `{ mode: s2_auto, rtt_thresholds: ["0s", "0s", "10s"] }`
	near := `{ mode: s2_auto, rtt_thresholds: ["10s"] }`
	for _, c := range []struct{ ours, theirs, weSay, theySay string }{
		{"accept", "accept", "off", "off"},
		{"off", "s2_fast", "off", "off"},
		{"s2_best", "off", "off", "off"},
		{"accept", "s2_best", "s2_best", "s2_best"},
		{"s2_better", "accept", "s2_better", "s2_better"},
		{"s2_fast", "s2_better", "s2_fast", "s2_better"},
		{"s2_uncompressed", "s2_fast", "s2_uncompressed", "s2_fast"},
		{thresholds, "accept", "s2_better", "s2_fast"},
		{"accept", thresholds, "s2_fast", "s2_better"},
		{near, near, "s2_uncompressed", "s2_uncompressed"},
	} {
		t.Run(c.ours+" with "+c.theirs, func(t *testing.T) {
			either(t, "compression: "+c.ours, "compression: "+c.theirs, func(t *testing.T, a, b member) {
				both(t, a, b)
				if _, ours := b.(*running); ours {
					a, b = b, a // the one with our settings is the second
				}
				for m, want := range map[member]string{a: c.weSay, b: c.theySay} {
					eventually(t, "compression "+want, func() bool {
						all := compression(t, m)
						for _, got := range all {
							if got != want {
								return false
							}
						}
						return len(all) == 4
					})
				}
			})
		})
	}
}

func TestRouteTLS(t *testing.T) {
	ca := securetest.NewAuthority(t)
	pair := ca.Server(t)
	cert, err := tls.LoadX509KeyPair(pair.CertFile, pair.KeyFile)
	must(t, err)
	sum := sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	block := func(more string) string {
		return fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, timeout: 5, pinned_certs: [%q] }\n%s",
			pair.CertFile, pair.KeyFile, ca.CAFile, hex.EncodeToString(sum[:]), more)
	}
	for name, more := range map[string]string{
		"pool": "", "no pool": "pool_size: -1", "compressed": "compression: s2_fast", "compressed, no pool": "compression: s2_best, pool_size: -1",
	} {
		t.Run(name, func(t *testing.T) { either(t, block(more), block(more), both) })
	}
	strangers := securetest.NewAuthority(t)
	other := strangers.Server(t)
	refused := map[string]string{
		"unknown authority": fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q }", other.CertFile, other.KeyFile, strangers.CAFile),
		"not pinned":        fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, pinned_certs: [%q] }", pair.CertFile, pair.KeyFile, ca.CAFile, strings.Repeat("0", 64)),
		"no TLS":            "",
	}
	for name, ours := range refused {
		t.Run(name, func(t *testing.T) {
			s := stockFile(t, clustered(block("")))
			b := coveyFile(t, clustered(ours, s))
			eventually(t, "a refusal", func() bool { return b.log.says("route ended") || b.log.says("no handshake in time") })
			accepting := coveyFile(t, clustered(ours))
			stockFile(t, clustered(block(""), accepting))
			eventually(t, "a refusal", func() bool { return accepting.log.says("route ended") })
			eventually(t, "no route stands all the same", func() bool {
				return len(routez(t, b).Routes)+len(routez(t, accepting).Routes)+s.NumRoutes() == 0
			})
		})
	}
}

// crosses checks what a publisher at one member reaches at the other one: what is
// allowed, and nothing of what is denied.
func crosses(t *testing.T, from, to member, allowed, denied []string) {
	t.Helper()
	for _, complaint := range crossing(t, from, to, allowed, denied) {
		t.Error(complaint)
	}
}

// comesToCross waits until crosses would have nothing to complain of. It is for a
// nats-server that was reloaded: it takes back interest that it denies from now on
// by messages to its peers, and lets in what they sent before they had these.
func comesToCross(t *testing.T, from, to member, allowed, denied []string) {
	t.Helper()
	var complaints []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if complaints = crossing(t, from, to, allowed, denied); len(complaints) == 0 {
			return
		}
	}
	t.Fatalf("after a minute still: %s", strings.Join(complaints, ", "))
}

// crossing is what there is to complain of in one round.
func crossing(t *testing.T, from, to member, allowed, denied []string) (complaints []string) {
	t.Helper()
	pub, far := dialURL(t, from), dialURL(t, to)
	defer pub.Close()
	defer far.Close()
	got := make(chan *nats.Msg, 100)
	for _, s := range []string{"else", "in.>", "in.secret", "in.*", "out.>", "out.secret"} {
		_, err := far.ChanSubscribe(s, got)
		must(t, err)
	}
	must(t, far.Flush())
	seen := make(map[string]bool)
	// arrives publishes what is allowed until the other side has it: interest in it may be on its way.
	arrives := func(subject string) {
		for deadline := time.Now().Add(time.Minute); !seen[subject]; {
			if time.Now().After(deadline) {
				t.Fatalf("%s does not arrive; %v did", subject, seen)
			}
			must(t, pub.Publish(subject, nil))
			select {
			case m := <-got:
				seen[m.Subject] = true
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	for _, s := range allowed {
		arrives(s)
	}
	// What is denied would be here before the last one.
	for _, s := range denied {
		must(t, pub.Publish(s, nil))
	}
	arrives(allowed[len(allowed)-1] + ".last")
	for _, s := range denied {
		if seen[s] {
			complaints = append(complaints, s+" arrived")
		}
	}
	return complaints
}

// What a cluster's permissions let out of a broker and into it, with a peer that
// has none of its own.
func TestRoutePermissions(t *testing.T) {
	rules := `permissions {
		import: { allow: ["in.>", "test.mesh", "_INBOX.>"], deny: "in.secret" }
		export: { allow: ["out.>", "test.mesh", "done"], deny: "out.secret" }
	}`
	either(t, rules, "", func(t *testing.T, a, b member) {
		if _, ours := b.(*running); ours {
			a, b = b, a
		}
		meshed(t, a, b)
		crosses(t, b, a, []string{"in.a", "in.b"}, []string{"in.secret", "out.a", "else"})
		crosses(t, a, b, []string{"out.a", "out.b"}, []string{"out.secret", "in.a", "else"})
	})
}

// Accounts with routes of their own.
func TestDedicatedRoutes(t *testing.T) {
	accounts := `
accounts { A { users: [{user: a, password: a}] }, B { users: [{user: b, password: b}] } }
no_auth_user: a`
	block := "accounts: [A]"
	with := func(text string) string { return text + accounts }
	check := func(t *testing.T, a, b member) {
		t.Helper()
		both(t, a, b)
		ours, ok := a.(*running)
		if !ok {
			ours, _ = b.(*running)
		}
		eventually(t, "a route of A", func() bool {
			n := 0
			for _, r := range routez(t, ours).Routes {
				if r.Account == "A" {
					n++
				}
			}
			return n == 1 && len(routez(t, ours).Routes) == 5
		})
	}
	t.Run("soliciting", func(t *testing.T) {
		s := stockFile(t, with(clustered(block)))
		check(t, coveyFile(t, with(clustered(block, s))), s)
	})
	t.Run("accepting", func(t *testing.T) {
		b := coveyFile(t, with(clustered(block)))
		check(t, b, stockFile(t, with(clustered(block, b))))
	})
	t.Run("among ours", func(t *testing.T) {
		a := coveyFile(t, with(clustered(block)))
		check(t, coveyFile(t, with(clustered(block, a))), a)
	})
}

// What a changed cluster block does to links, for each kind of change.
func TestClusterReload(t *testing.T) {
	a := coveyFile(t, clustered(""))
	s := stockFile(t, clustered(""))
	b := coveyFile(t, clustered("", a))
	meshed(t, a, b)
	reload := func(text string) error {
		t.Helper()
		o, err := config.Load(file(t, text))
		must(t, err)
		return b.ReloadCluster(dataplane.ClusterOf(o))
	}
	kept := nats.NewInbox()
	sub, err := dialURL(t, b).SubscribeSync(kept)
	must(t, err)
	must(t, reload(clustered("", a, s)))
	meshed(t, a, b, s)
	interested(t, dialURL(t, s), kept)
	must(t, reload(clustered("", s)))
	eventually(t, "the route to the first is gone", func() bool {
		for _, r := range routez(t, b).Routes {
			if r.RemoteID != s.ID() {
				return false
			}
		}
		return true
	})
	meshed(t, b, s)
	must(t, reload(clustered("pool_size: 5, compression: s2_fast", s)))
	eventually(t, "a larger pool, compressed", func() bool {
		n := 0
		for _, r := range routez(t, b).Routes {
			if r.RemoteID == s.ID() && r.Compression == "s2_fast" {
				n++
			}
		}
		return n == 6 // the first may be back, because the second told it of us
	})
	meshed(t, b, s)
	pub := dialURL(t, s)
	interested(t, pub, kept)
	must(t, pub.Publish(kept, []byte("still")))
	eventually(t, "a subscription that was there before", func() bool {
		m, err := sub.NextMsg(10 * time.Millisecond)
		return err == nil && string(m.Data) == "still"
	})
	if err := reload(clustered("accounts: [A], pool_size: 3", s)); err != nil {
		t.Error(err)
	}
}

func TestReloadOfAClusterRefusesByName(t *testing.T) {
	p := launch(t, "cluster { name: east, listen: \"127.0.0.1:-1\" }")
	p.reload(t, "cluster { name: west, listen: \"127.0.0.1:-1\" }", "config reload not supported for cluster name")
	p.reload(t, "cluster { name: east, listen: \"127.0.0.2:-1\" }", "config reload not supported for cluster host")
	p.reload(t, "cluster { name: east, listen: \"127.0.0.1:1\" }", "config reload not supported for cluster port")
	p.reload(t, "", "config reload not supported for cluster")
	p.reload(t, "cluster { name: east, listen: \"127.0.0.1:-1\", pool_size: 4, ping_max: 3 }", "Reloaded server configuration")
}
