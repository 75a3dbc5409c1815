package monitor_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
)

// Polling sees every connection once and counters that never fall, while
// messages flow and connections and subscriptions come and go.
func TestPollingBesideTraffic(t *testing.T) {
	s := ours(t, "max_closed_clients: 50")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	stopped := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	for i := range 2 {
		nc := s.connect(t, fmt.Sprint("stays ", i))
		_, err := nc.Subscribe("x.*", func(*nats.Msg) {})
		must(t, err)
		wg.Go(func() {
			for n := 0; !stopped(); n++ {
				_ = nc.Publish(fmt.Sprint("x.", n%100), make([]byte, 64))
				if sub, err := nc.SubscribeSync("y"); err == nil {
					_ = sub.AutoUnsubscribe(1)
				}
				_ = nc.Publish("y", nil)
				_ = nc.Flush()
			}
		})
		wg.Go(func() {
			for !stopped() {
				if nc, err := natsConnect(s.client); err == nil {
					_ = nc.Publish("x.z", make([]byte, 10))
					nc.Close()
				}
			}
		})
	}
	defer wg.Wait()
	defer close(stop)
	seen := make(map[string]float64)
	grows := func(name string, v any) {
		t.Helper()
		n, ok := v.(float64)
		if !ok || n < seen[name] {
			t.Errorf("%s fell from %v to %v", name, seen[name], v)
		}
		seen[name] = n
	}
	for range 60 {
		v := s.object(t, "/varz")
		for _, name := range []string{"in_msgs", "in_bytes", "out_msgs", "out_bytes", "total_connections"} {
			grows(name, v[name])
		}
		for _, a := range s.list(t, "/accstatz?unused=1", "account_statz") {
			if a["acc"] != "$G" {
				continue
			}
			for _, way := range []string{"sent", "received"} {
				o, _ := a[way].(map[string]any)
				grows("account's "+way, o["msgs"])
			}
		}
		ids := make(map[any]bool)
		for _, c := range s.list(t, "/connz?state=any&subs=detail&limit=100000&sort=bytes_from&auth=1", "connections") {
			if ids[c["cid"]] {
				t.Errorf("connection %v is there twice", c["cid"])
			}
			ids[c["cid"]] = true
		}
		s.object(t, "/subsz?subs=1&test=x.1")
		s.get(t, "/metrics")
	}
	if seen["in_msgs"] == 0 || seen["account's received"] == 0 {
		t.Errorf("no traffic: %v", seen)
	}
}
