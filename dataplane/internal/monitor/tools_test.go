package monitor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Programs in Go read the answers into nats-server's own types: nats-top and
// everything made with them. Nothing of ours may be beside those, but for what
// is under our own name.
func TestAnswersFitNatsServersTypes(t *testing.T) {
	s := ours(t, "")
	s.traffic(t)
	for path, into := range map[string]any{
		"/varz":                        &server.Varz{},
		"/connz?auth=1&subs=1":         &server.Connz{},
		"/connz?state=any&subs=detail": &server.Connz{},
		"/routez":                      &server.Routez{},
		"/gatewayz":                    &server.Gatewayz{},
		"/leafz":                       &server.Leafz{},
		"/subsz?subs=1":                &server.Subsz{SublistStats: &server.SublistStats{}},
		"/accountz":                    &server.Accountz{},
		"/accountz?acc=$G":             &server.Accountz{},
		"/accstatz?unused=1":           &server.AccountStatz{},
		"/jsz?accounts=1&consumers=1":  &server.JSInfo{},
		"/healthz?details=1":           &server.HealthStatus{},
	} {
		o := s.object(t, path)
		delete(o, "covey_version")
		b, err := json.Marshal(o)
		must(t, err)
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Kinds of values.
const (
	number  = "float64"
	text    = "string"
	list    = "[]interface {}"
	boolean = "bool"
	object  = "map[string]interface {}"
)

// toolFields is what tools read that take the answers as plain JSON, or that
// show a wrong figure rather than fail when a field is not there. A list stands
// for its first element.
var toolFields = []struct {
	tool, path string
	at         []string
	fields     map[string]string
}{
	{"nats-top", "/varz", nil, map[string]string{
		"server_id": text, "server_name": text, "version": text, "cores": number, "cpu": number, "mem": number, "uptime": text,
		"now": text, "in_msgs": number, "out_msgs": number, "in_bytes": number, "out_bytes": number, "slow_consumers": number,
	}},
	{"nats-top", "/connz?limit=1024&sort=cid", nil, map[string]string{"num_connections": number, "connections": list}},
	{"nats-top", "/connz?limit=1024&sort=bytes_to&subs=1&auth=1", []string{"connections"}, map[string]string{
		"cid": number, "ip": text, "port": number, "name": text, "lang": text, "version": text, "in_msgs": number, "out_msgs": number,
		"in_bytes": number, "out_bytes": number, "pending_bytes": number, "subscriptions": number, "uptime": text, "last_activity": text,
		"start": text, "idle": text, "rtt": text, "subscriptions_list": list,
	}},
	{"prometheus-nats-exporter", "/varz", nil, map[string]string{
		"connections": number, "total_connections": number, "subscriptions": number, "slow_consumers": number, "in_msgs": number,
		"out_msgs": number, "in_bytes": number, "out_bytes": number, "mem": number, "cpu": number, "cores": number, "routes": number,
		"remotes": number, "leafnodes": number, "max_connections": number, "max_payload": number, "max_pending": number,
		"max_control_line": number, "ping_interval": number, "ping_max": number, "auth_timeout": number, "tls_timeout": number,
		"write_deadline": number, "gomaxprocs": number, "stalled_clients": number, "stale_connections": number, "start": text,
		"config_load_time": text, "http_req_stats": object, "slow_consumer_stats": object, "cluster": object, "gateway": object,
		"leaf": object, "jetstream": object, "version": text, "go": text, "host": text, "port": number, "http_port": number,
	}},
	{"prometheus-nats-exporter", "/connz", nil, map[string]string{"num_connections": number, "total": number, "offset": number, "limit": number}},
	{"prometheus-nats-exporter", "/connz?subs=1", []string{"connections"}, map[string]string{
		"cid": number, "kind": text, "type": text, "ip": text, "port": number, "name": text, "lang": text, "version": text,
		"pending_bytes": number, "in_msgs": number, "out_msgs": number, "in_bytes": number, "out_bytes": number, "subscriptions": number,
		"start": text, "last_activity": text, "idle": text, "uptime": text, "rtt": text,
	}},
	{"prometheus-nats-exporter", "/routez", nil, map[string]string{"num_routes": number, "routes": list}},
	{"prometheus-nats-exporter", "/subsz", nil, map[string]string{
		"num_subscriptions": number, "num_cache": number, "num_inserts": number, "num_removes": number, "num_matches": number,
		"cache_hit_rate": number, "max_fanout": number, "avg_fanout": number,
	}},
	{"prometheus-nats-exporter", "/gatewayz", nil, map[string]string{"outbound_gateways": object, "inbound_gateways": object}},
	{"prometheus-nats-exporter", "/leafz", nil, map[string]string{"leafnodes": number, "leafs": list}},
	{"prometheus-nats-exporter", "/accountz", nil, map[string]string{"accounts": list}},
	{"prometheus-nats-exporter", "/accountz?acc=$G", []string{"account_detail"}, map[string]string{
		"account_name": text, "expired": boolean, "complete": boolean, "jetstream_enabled": boolean, "leafnode_connections": number,
		"client_connections": number, "subscriptions": number, "sublist_stats": object,
	}},
	{"prometheus-nats-exporter", "/accstatz?unused=1", []string{"account_statz"}, map[string]string{
		"acc": text, "name": text, "conns": number, "leafnodes": number, "total_conns": number, "num_subscriptions": number,
		"slow_consumers": number, "sent": object, "received": object,
	}},
	{"prometheus-nats-exporter", "/accstatz", []string{"account_statz", "sent"}, map[string]string{"msgs": number, "bytes": number}},
	{"prometheus-nats-exporter", "/jsz?consumers=true&config=true&raft=true", nil, map[string]string{
		"disabled": boolean, "config": object, "memory": number, "storage": number, "streams": number, "consumers": number,
		"messages": number, "bytes": number, "api": object, "accounts": number, "ha_assets": number,
	}},
	{"prometheus-nats-exporter", "/healthz", nil, map[string]string{"status": text}},
	{"prometheus-nats-exporter", "/healthz?js-enabled-only=true", nil, map[string]string{"status": text}},
	{"prometheus-nats-exporter", "/healthz?js-server-only=true", nil, map[string]string{"status": text}},
	{"nats-surveyor", "/varz", []string{"slow_consumer_stats"}, map[string]string{
		"clients": number, "routes": number, "gateways": number, "leafs": number,
	}},
	{"nats-surveyor", "/varz", []string{"stale_connection_stats"}, map[string]string{"clients": number}},
}

func TestToolsFindTheirFields(t *testing.T) {
	s, judge := ours(t, ""), stock(t, "")
	s.traffic(t)
	judge.traffic(t)
	for _, f := range toolFields {
		for _, s := range []*subject{s, judge} { // the table itself is checked with nats-server
			var v any = s.object(t, f.path)
			for _, name := range f.at {
				o, _ := v.(map[string]any)
				v = o[name]
				if all, ok := v.([]any); ok && len(all) > 0 {
					v = all[0]
				}
			}
			o, _ := v.(map[string]any)
			for name, want := range f.fields {
				if name == "subscriptions_list" && o["subscriptions"] == 0.0 {
					continue
				}
				if got := fmt.Sprintf("%T", o[name]); got != want {
					t.Errorf("%s reads %s of %s %v at %s as %s, not %s", f.tool, name, f.path, f.at, s.name, want, got)
				}
			}
		}
	}
}
