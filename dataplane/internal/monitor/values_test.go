package monitor_test

import (
	"maps"
	"slices"
	"testing"
)

// What the same traffic makes of the counters must be the same numbers.
func TestCountersAreNatsServers(t *testing.T) {
	theirs, our := stock(t), ours(t)
	theirs.traffic(t)
	our.traffic(t)
	compare := func(path string, fields []string, want, got map[string]any) {
		t.Helper()
		for _, f := range fields {
			if want[f] != got[f] {
				t.Errorf("%s: %s = %v, in nats-server %v", path, f, got[f], want[f])
			}
		}
	}
	compare("/varz", []string{
		"version", "proto", "max_connections", "ping_interval", "ping_max", "http_base_path", "https_port", "auth_timeout",
		"max_control_line", "max_payload", "max_pending", "tls_timeout", "write_deadline", "connections", "total_connections",
		"routes", "remotes", "leafnodes", "in_msgs", "in_bytes", "in_client_msgs", "in_client_bytes", "out_msgs", "out_bytes",
		"out_client_msgs", "out_client_bytes", "slow_consumers", "stale_connections", "stalled_clients", "config_digest",
	}, theirs.object(t, "/varz"), our.object(t, "/varz"))
	for _, path := range []string{"/connz?auth=1", "/connz?state=any&auth=1&limit=3&offset=1", "/connz?state=closed&limit=2", "/connz?user=nobody"} {
		compare(path, []string{"num_connections", "total", "offset", "limit"}, theirs.object(t, path), our.object(t, path))
	}
	for _, path := range []string{"/connz?sort=start&auth=1", "/connz?sort=start&state=closed&auth=1"} {
		want, got := theirs.list(t, path, "connections"), our.list(t, path, "connections")
		if len(want) != len(got) {
			t.Fatalf("%s has %d connections, in nats-server %d", path, len(got), len(want))
		}
		for i := range want {
			compare(path, []string{
				"kind", "type", "ip", "reason", "in_msgs", "out_msgs", "in_bytes", "out_bytes", "stalls",
				"subscriptions", "name", "lang", "version", "authorized_user", "account", "issuer_key", "name_tag", "tags",
			}, want[i], got[i])
		}
	}
	path := "/accstatz"
	want, got := theirs.list(t, path, "account_statz"), our.list(t, path, "account_statz")
	if len(want) != 1 || len(got) != 1 {
		t.Fatalf("%s has %d accounts, in nats-server %d", path, len(got), len(want))
	}
	compare(path, []string{"acc", "name", "conns", "leafnodes", "total_conns", "slow_consumers"}, want[0], got[0])
	for _, way := range []string{"sent", "received"} {
		w, _ := want[0][way].(map[string]any)
		g, _ := got[0][way].(map[string]any)
		compare(path+" "+way, []string{"msgs", "bytes"}, w, g)
	}
}

func TestSubscriptionsAreNatsServers(t *testing.T) {
	theirs, our := stock(t), ours(t)
	theirs.traffic(t)
	our.traffic(t)
	for _, test := range []string{"foo", "foo.bar", "foo.bar.baz", "none"} {
		path := "/subsz?subs=1&acc=$G&test=" + test
		seen := func(s *subject) []string {
			subs, ok := s.object(t, path)["subscriptions_list"].([]any)
			if !ok {
				return nil
			}
			all := make(map[string]bool)
			for _, sub := range subs {
				f, _ := sub.(map[string]any)
				subj, _ := f["subject"].(string)
				queue, _ := f["qgroup"].(string)
				sid, _ := f["sid"].(string)
				all[subj+" "+queue+" "+sid] = true
			}
			return slices.Sorted(maps.Keys(all))
		}
		if want, got := seen(theirs), seen(our); !slices.Equal(want, got) {
			t.Errorf("%s lists %q, in nats-server %q", path, got, want)
		}
	}
}
