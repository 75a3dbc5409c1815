package dataplane_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

const clusterAccounts = `
accounts { A { users [ { user: a, password: a } ] } }
cluster { name: east, listen: "127.0.0.1:-1", write_timeout: close, write_deadline: "7s"%s }
`

// What monitoring says of a cluster, and what went over its routes, is what a
// nats-server in the same place says.
func TestMonitoringOfRoutesIsNatsServers(t *testing.T) {
	said := make([]map[string]any, 2)
	for i, start := range []func(string) rival{
		func(conf string) rival {
			s := natsServer(t, conf, nil)
			return rival{"nats-server", s.Addr().String(), "http://" + s.MonitorAddr().String()}
		},
		func(conf string) rival {
			p := launch(t, conf)
			return rival{"ours", strings.TrimPrefix(p.url, "nats://"), p.http}
		},
	} {
		peer := natsServer(t, fmt.Sprintf(clusterAccounts, ""), nil)
		r := start(fmt.Sprintf(clusterAccounts, fmt.Sprintf(`, routes: ["nats://x:y@%s"]`, peer.ClusterAddr())))
		crossRoutes(t, r, rival{"peer", peer.Addr().String(), "http://" + peer.MonitorAddr().String()})
		// The last message is counted a moment after it is delivered.
		eventually(t, "17 messages are counted", func() bool { return r.routed(t, "received") == 7 && r.routed(t, "sent") == 10 })
		eventually(t, "a whole pool", func() bool { return r.ask(t, "/varz")["routes"] == 4.0 }) // one after the other
		said[i] = r.aboutRoutes(t, peer.ClusterAddr().String())
		peer.Shutdown()
		peer.WaitForShutdown()
		before, _ := r.ask(t, "/varz")["out_msgs"].(float64)
		eventually(t, "no route is left", func() bool { return r.ask(t, "/varz")["routes"] == 0.0 })
		if after, _ := r.ask(t, "/varz")["out_msgs"].(float64); after < before || before == 0 {
			t.Errorf("%s: out_msgs fell from %v to %v with the route", r.name, before, after)
		}
	}
	if stock, ours := fmt.Sprint(said[0]), fmt.Sprint(said[1]); stock != ours {
		t.Errorf("nats-server says\n%s\nwe say\n%s", stock, ours)
	}
}

// crossRoutes sends 10 messages of 5 bytes from a broker to its peer, and 7 of 3
// bytes back.
func crossRoutes(t *testing.T, r, peer rival) {
	t.Helper()
	here, err := natsConnect("nats://"+r.client, nats.UserInfo("a", "a"))
	must(t, err)
	defer here.Close()
	there, err := natsConnect("nats://"+peer.client, nats.UserInfo("a", "a"))
	must(t, err)
	defer there.Close()
	away, err := there.SubscribeSync("away")
	must(t, err)
	back, err := here.SubscribeSync("back")
	must(t, err)
	must(t, here.Flush())
	must(t, there.Flush())
	eventually(t, "both know what the other one wants", func() bool {
		return strings.Contains(fmt.Sprint(r.ask(t, "/routez?subs=1")), "away") && strings.Contains(fmt.Sprint(peer.ask(t, "/routez?subs=1")), "back")
	})
	for range 10 {
		must(t, here.Publish("away", []byte("hello")))
		_, err := away.NextMsg(time.Minute)
		must(t, err)
	}
	for range 7 {
		must(t, there.Publish("back", []byte("yes")))
		_, err := back.NextMsg(time.Minute)
		must(t, err)
	}
}

// aboutRoutes returns what has to be the same from both servers.
func (r rival) aboutRoutes(t *testing.T, peer string) map[string]any {
	t.Helper()
	v := r.ask(t, "/varz")
	out := map[string]any{"routes": v["routes"], "remotes": v["remotes"]}
	c, _ := v["cluster"].(map[string]any)
	for name, value := range c {
		out["cluster."+name] = value
	}
	if p, _ := c["cluster_port"].(float64); p <= 0 {
		t.Errorf("%s: cluster_port %v", r.name, c["cluster_port"])
	}
	delete(out, "cluster.cluster_port")
	if urls := fmt.Sprint(c["urls"]); urls != "["+peer+"]" {
		t.Errorf("%s: urls %s", r.name, urls)
	}
	delete(out, "cluster.urls")
	if urls, _ := v["connect_urls"].([]any); len(urls) != 2 {
		t.Errorf("%s: connect_urls %v", r.name, v["connect_urls"])
	}
	for _, dir := range []string{"in", "out"} {
		all, _ := v[dir+"_msgs"].(float64)
		clients, _ := v[dir+"_client_msgs"].(float64)
		if want := map[string]float64{"in": 7, "out": 10}[dir]; all < clients+want { // the system accounts talk, too
			t.Errorf("%s: %s_msgs is %v with %v of clients", r.name, dir, all, clients)
		}
	}
	out["sent"], out["received"] = r.account(t)["sent"], r.account(t)["received"]
	return out
}

// account returns the counters of account A.
func (r rival) account(t *testing.T) map[string]any {
	t.Helper()
	accounts, _ := r.ask(t, "/accstatz?unused=1")["account_statz"].([]any)
	for _, one := range accounts {
		if a, _ := one.(map[string]any); a["acc"] == "A" {
			return a
		}
	}
	t.Fatalf("%s: nothing is known of the account: %v", r.name, accounts)
	return nil
}

// routed returns how many of the account's messages routes sent or received.
func (r rival) routed(t *testing.T, direction string) float64 {
	t.Helper()
	d, _ := r.account(t)[direction].(map[string]any)
	routes, _ := d["routes"].(map[string]any)
	n, _ := routes["msgs"].(float64)
	return n
}
