package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane/internal/config"
)

func TestClusterBlock(t *testing.T) {
	o, err := load(t, `cluster {
		name: east, listen: "0.0.0.0:6333", advertise: "broker.example.com", no_advertise: true
		authorization { user: r, password: secret-of-routes }
		routes: ["nats-route://r:secret-of-routes@a:6222", "nats://b:6222"]
		pool_size: 5, connect_retries: 7, compression: { mode: S2_AUTO, rtt_thresholds: ["5ms", "0s", "20ms", "0s"] }, connect_backoff: true
		accounts: [A], ping_interval: "10s", ping_max: 4, write_deadline: "3s"
		permissions { import: "in.>", export: { allow: ["out.>"], deny: "out.secret" } }
	}`)
	if err != nil {
		t.Fatal(err)
	}
	c := o.Cluster
	if c.Name != "east" || c.Host != "0.0.0.0" || c.Port != 6333 || c.Advertise != "broker.example.com:6222" || !c.NoAdvertise ||
		c.User != "r" || c.Password.Reveal() != "secret-of-routes" || c.PoolSize != 5 || c.ConnectRetries != 7 {
		t.Errorf("cluster is %+v", c)
	}
	if len(c.Routes) != 2 || c.Routes[0].Host != "a:6222" || c.Routes[0].Password.Reveal() != "secret-of-routes" || c.Routes[1].Host != "b:6222" {
		t.Errorf("routes are %v", c.Routes)
	}
	if !c.ConnectBackoff || c.PingInterval != 10*time.Second || c.PingMax != 4 || c.WriteDeadline != 3*time.Second || !slices.Equal(c.Accounts, []string{"A"}) {
		t.Errorf("cluster is %+v", c)
	}
	if p := c.Permissions; !slices.Equal(p.Import.Allow, []string{"in.>"}) || !slices.Equal(p.Export.Allow, []string{"out.>"}) || !slices.Equal(p.Export.Deny, []string{"out.secret"}) {
		t.Errorf("permissions are %+v %+v", p.Import, p.Export)
	}
	if got := c.Compression; got.Mode != "s2_auto" || !slices.Equal(got.Thresholds, []time.Duration{5 * time.Millisecond, 0, 20 * time.Millisecond}) {
		t.Errorf("compression is %+v", got)
	}
	for _, shown := range []string{fmt.Sprintf("%+v", *c), fmt.Sprintf("%#v", *c), fmt.Sprint(c.Routes)} {
		if strings.Contains(shown, "secret-of-routes") {
			t.Errorf("a password shows in %s", shown)
		}
	}
}

func TestClusterBlockRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"cluster {}":                                                                   "cluster needs listen or port",
		"cluster: east":                                                                "must be a block",
		"cluster { port: 1, name: \"a b\" }":                                           "cannot be a cluster's name",
		"cluster { port: 1, name: _ }":                                                 "cannot be a cluster's name",
		"cluster { port: 1, routes: [\"http://a:1\"] }":                                "not a URL of a broker",
		"cluster { port: 1, authorization { user: a } }":                               "a user needs a password",
		"cluster { port: 1, authorization { users: [] } }":                             "one user and password",
		"cluster { port: 1, permissions { import: \"a b\" } }":                         "not a valid subject",
		"cluster { port: 1, permissions { export: \"a b\" } }":                         "not queues",
		"cluster { port: 1, permissions { allow_responses: true } }":                   "dynamic responses",
		"cluster { port: 1, compression: lz4 }":                                        "not a way to compress",
		"cluster { port: 1, compression: { mode: auto, rtt: [\"2ms\", \"1ms\"] } }":    "ascending order",
		"cluster { port: 1, accounts: [A], pool_size: -1 }":                            "pool_size -1",
		"cluster { port: 1, write_timeout: never }":                                    "must be",
		"cluster { port: 1, tls { cert_file: a, key_file: b, verify_and_map: true } }": "has no meaning between brokers",
		"cluster { port: 1, tls { ca_file: a } }":                                      "TLS needs a certificate",
		"cluster { port: 1, authorization { user: a, password: \"$2a$11$x\" } }":       "not supported yet",
		"cluster { port: 1, pool: 3 }":                                                 "unknown field",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestClusterFlags(t *testing.T) {
	c, err := config.Parse(strings.Fields("--cluster nats://r:p@0.0.0.0:0 --routes nats://a:1,nats://b:2 --cluster_name east --no_advertise --connect_retries 3"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.Options()
	if err != nil {
		t.Fatal(err)
	}
	got := o.Cluster
	if got.Host != "0.0.0.0" || got.Port != config.AnyPort || got.User != "r" || got.Password.Reveal() != "p" ||
		len(got.Routes) != 2 || got.Name != "east" || !got.NoAdvertise || got.ConnectRetries != 3 {
		t.Errorf("cluster is %+v", got)
	}
	c, err = config.Parse(strings.Fields("--routes nats://a:1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Options(); err == nil || !strings.Contains(err.Error(), "need a cluster") {
		t.Errorf("routes without a listener: %v", err)
	}
}
