package dataplane_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/dataplane/internal/config"
)

// changeable is a member whose configuration can be another one while it runs.
type changeable struct {
	member
	reload func(t *testing.T, text string) error
}

func changeableCovey(t *testing.T, text string) changeable {
	t.Helper()
	b := coveyFile(t, text)
	return changeable{b, func(t *testing.T, text string) error {
		t.Helper()
		o, err := config.Load(file(t, text))
		must(t, err)
		return b.ReloadCluster(dataplane.ClusterOf(o))
	}}
}

func changeableStock(t *testing.T, text string) changeable {
	t.Helper()
	path := file(t, text)
	o, err := server.ProcessConfigFile(path)
	must(t, err)
	o.NoLog, o.NoSigs = true, true
	s, err := server.NewServer(o)
	must(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("nats-server does not start")
	}
	return changeable{stockServer{s}, func(t *testing.T, text string) error {
		t.Helper()
		must(t, os.WriteFile(path, []byte(text), 0o600))
		return s.Reload()
	}}
}

// routeIDs are those of a broker's links.
func routeIDs(t *testing.T, b *running) (ids []uint64) {
	t.Helper()
	for _, r := range routez(t, b).Routes {
		ids = append(ids, r.RID)
	}
	slices.Sort(ids)
	return ids
}

// Permissions of a cluster change while its routes stand, as with nats-server: the
// same steps with a nats-server that reloads, and with ours.
func TestClusterPermissionsReloadInPlace(t *testing.T) {
	const narrow = `permissions {
		import: { allow: ["in.>", "test.mesh", "_INBOX.>"], deny: "in.secret" }
		export: { allow: ["out.>", "test.mesh", "done"], deny: "out.secret" }
	}`
	everything := []string{"in.a", "out.a", "in.secret", "out.secret", "else", "in.b"}
	starts := map[string]func(*testing.T, string) changeable{"ours": changeableCovey, "nats-server": changeableStock}
	for name, start := range starts {
		for peer, peerStart := range starts {
			if name == "nats-server" && peer == name {
				continue
			}
			t.Run(name+" reloads beside "+peer, func(t *testing.T) {
				b := peerStart(t, clustered(""))
				a := start(t, clustered("", b))
				meshed(t, a, b)
				var ours *running
				for _, m := range []changeable{a, b} {
					if r, ok := m.member.(*running); ok {
						ours = r
					}
				}
				eventually(t, "a whole pool", func() bool { return len(routeIDs(t, ours)) == 4 })
				before := routeIDs(t, ours)
				// What is there before the change is what is to come back afterwards.
				here, there := keep(t, a, "kept.here"), keep(t, b, "kept.there")
				crosses(t, a, b, everything, nil)
				crosses(t, b, a, everything, nil)
				must(t, a.reload(t, clustered(narrow, b)))
				denied, check := []string{"out.a", "else"}, comesToCross
				if name == "ours" {
					denied = append(denied, "in.secret") // nats-server lets it in to a wildcard
					check = crosses                      // and ours lets in nothing once a reload has returned
				}
				check(t, b, a, []string{"in.a", "in.b"}, denied)
				check(t, a, b, []string{"out.a", "out.b"}, []string{"out.secret", "in.a", "else"})
				must(t, a.reload(t, clustered("", b)))
				arrives(t, a, "kept.there", there)
				arrives(t, b, "kept.here", here)
				again := everything
				if name != "ours" { // nats-server goes on denying messages to wildcards what was denied once
					again = slices.DeleteFunc(slices.Clone(everything), func(s string) bool { return s == "out.secret" })
				}
				crosses(t, a, b, again, nil)
				crosses(t, b, a, everything, nil)
				if after := routeIDs(t, ours); !slices.Equal(before, after) {
					t.Errorf("links were %v and are %v", before, after)
				}
			})
		}
	}
}

func keep(t *testing.T, m member, subject string) *nats.Subscription {
	t.Helper()
	nc := dialURL(t, m)
	sub, err := nc.SubscribeSync(subject)
	must(t, err)
	must(t, nc.Flush())
	return sub
}

func arrives(t *testing.T, from member, subject string, sub *nats.Subscription) {
	t.Helper()
	pub := dialURL(t, from)
	eventually(t, subject+" arrives", func() bool {
		must(t, pub.Publish(subject, nil))
		_, err := sub.NextMsg(10 * time.Millisecond)
		return err == nil
	})
}

// Another password of a cluster ends the links of those who connected with the old
// one, and of nobody else: as with nats-server, which looks at who connected to it.
func TestClusterPasswordReload(t *testing.T) {
	auth := func(password string) string { return "authorization { user: r, password: " + password + " }" }
	with := func(text, password string) string {
		return strings.ReplaceAll(text, "nats-route://", "nats-route://r:"+password+"@")
	}
	starts := map[string]func(*testing.T, string) changeable{"ours": changeableCovey, "nats-server": changeableStock}
	for name, start := range starts {
		t.Run(name, func(t *testing.T) {
			a := start(t, clustered(auth("old")))
			b := coveyFile(t, with(clustered(auth("old"), a), "old"))
			meshed(t, a, b)
			eventually(t, "a whole pool", func() bool { return len(routeIDs(t, b)) == 4 })
			before := routeIDs(t, b)
			// Nothing that was shown is wrong.
			must(t, a.reload(t, clustered(auth("old")+"\nconnect_retries: 3")))
			meshed(t, a, b)
			if after := routeIDs(t, b); !slices.Equal(before, after) {
				t.Errorf("links were %v and are %v", before, after)
			}
			must(t, a.reload(t, clustered(auth("new"))))
			eventually(t, "who has the old one is out", func() bool { return len(routeIDs(t, b)) == 0 })
			o, err := config.Load(file(t, with(clustered(auth("new"), a), "new")))
			must(t, err)
			must(t, b.ReloadCluster(dataplane.ClusterOf(o)))
			meshed(t, a, b)
		})
	}
}
