package monitor_test

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
)

// compare reports fields that are not the same in both answers.
func compare(t *testing.T, path string, fields []string, want, got map[string]any) {
	t.Helper()
	for _, f := range fields {
		if !reflect.DeepEqual(want[f], got[f]) {
			t.Errorf("%s: %s = %v, in nats-server %v", path, f, got[f], want[f])
		}
	}
}

// What the same traffic makes of the counters must be the same numbers.
func TestCountersAreNatsServers(t *testing.T) {
	theirs, our := stock(t, ""), ours(t, "")
	theirs.traffic(t)
	our.traffic(t)
	compare := func(path string, fields []string, want, got map[string]any) { compare(t, path, fields, want, got) }
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
	theirs, our := stock(t, ""), ours(t, "")
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

const twoAccounts = `
accounts {
  A { users: [ {user: a, password: pw}, {user: a2, password: pw} ] }
  B { users: [ {user: b, password: pw} ] }
}
max_closed_clients: 3
max_connections: 10
`

// Who connected to which account is told as nats-server tells it, also of those
// who were not let in.
func TestUsersAreShownLikeNatsServers(t *testing.T) {
	theirs, our := stock(t, twoAccounts), ours(t, twoAccounts)
	for _, s := range []*subject{theirs, our} {
		for _, user := range []string{"a", "a2", "b"} {
			nc := s.connect(t, user, nats.UserInfo(user, "pw"))
			must(t, nc.Publish("x", []byte("12345")))
			must(t, nc.Flush())
		}
		s.connect(t, "leaves", nats.UserInfo("a", "pw")).Close()
		eventually(t, "the one that leaves is gone", func() bool { return s.object(t, "/connz?state=closed")["total"] == 1.0 })
		for _, login := range []string{`"user":"a","pass":"no"`, `"user":"nobody"`, `"auth_token":"no"`} {
			s.raw(t, `CONNECT {"name":"turned away","lang":"x","version":"1",`+login+"}\r\n")
		}
		eventually(t, "all is counted", func() bool {
			return s.object(t, "/connz")["total"] == 3.0 && s.object(t, "/connz?state=closed")["total"] == 3.0 &&
				s.object(t, "/varz")["total_connections"] == 7.0
		})
	}
	fields := []string{"reason", "name", "lang", "version", "authorized_user", "account", "in_msgs", "in_bytes", "name_tag", "issuer_key"}
	for _, path := range []string{
		"/connz?auth=1", "/connz?auth=1&acc=A", "/connz?auth=1&acc=B", "/connz?user=a", "/connz?auth=1&acc=A&user=a2", "/connz?acc=B&user=a",
		"/connz?state=closed&auth=1", "/connz?state=closed&acc=B", "/connz?state=any&auth=1&limit=100",
	} {
		compare(t, path, []string{"num_connections", "total"}, theirs.object(t, path), our.object(t, path))
		compareShapes(t, path, shapeOf(t, theirs.get(t, path)), shapeOf(t, our.get(t, path)))
		want, got := theirs.list(t, path, "connections"), our.list(t, path, "connections")
		for i := range min(len(want), len(got)) {
			compare(t, path, fields, want[i], got[i])
		}
	}
	accounts := func(s *subject) []string {
		var names []string
		list, _ := s.object(t, "/accountz")["accounts"].([]any)
		for _, name := range list {
			text, _ := name.(string)
			names = append(names, text)
		}
		slices.Sort(names)
		return names
	}
	if want, got := accounts(theirs), accounts(our); !slices.Equal(want, got) {
		t.Errorf("/accountz lists %q, in nats-server %q", got, want)
	}
	compare(t, "/varz", []string{"auth_required", "max_connections", "config_digest", "system_account"}, theirs.object(t, "/varz"), our.object(t, "/varz"))
}

func TestTokensAreNotShown(t *testing.T) {
	const conf = `authorization { token: "s3cret" }`
	for _, s := range []*subject{stock(t, conf), ours(t, conf)} {
		s.connect(t, "x", nats.Token("s3cret"))
		if got := s.list(t, "/connz?auth=1", "connections")[0]["authorized_user"]; got != "[REDACTED]" {
			t.Errorf("%s shows user %v", s.name, got)
		}
	}
}

func TestBasePath(t *testing.T) {
	const conf = `http_base_path: "/below/"`
	for _, s := range []*subject{stock(t, conf), ours(t, conf)} {
		for path, code := range map[string]int{
			"/below": http.StatusOK, "/below/varz": http.StatusOK, "/varz": http.StatusNotFound, "/": http.StatusNotFound, "/below/x": http.StatusNotFound,
		} {
			if got := s.get(t, path).code; got != code {
				t.Errorf("%s: %s answers %d, want %d", s.name, path, got, code)
			}
		}
	}
}
