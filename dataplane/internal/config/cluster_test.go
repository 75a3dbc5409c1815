package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/config"
)

func TestClusterBlock(t *testing.T) {
	o, err := load(t, `cluster {
		name: east, listen: "0.0.0.0:6333", advertise: "broker.example.com", no_advertise: true
		authorization { user: r, password: secret-of-routes }
		routes: ["nats-route://r:secret-of-routes@a:6222", "nats://b:6222"]
		pool_size: 5, connect_retries: 7, compression: off, connect_backoff: true
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
	for _, shown := range []string{fmt.Sprintf("%+v", *c), fmt.Sprintf("%#v", *c), fmt.Sprint(c.Routes)} {
		if strings.Contains(shown, "secret-of-routes") {
			t.Errorf("a password shows in %s", shown)
		}
	}
}

func TestClusterBlockRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"cluster {}":                                                             "cluster needs listen or port",
		"cluster: east":                                                          "must be a block",
		"cluster { port: 1, name: \"a b\" }":                                     "cannot be a cluster's name",
		"cluster { port: 1, name: _ }":                                           "cannot be a cluster's name",
		"cluster { port: 1, routes: [\"http://a:1\"] }":                          "not a URL of a broker",
		"cluster { port: 1, authorization { user: a } }":                         "a user needs a password",
		"cluster { port: 1, authorization { users: [] } }":                       "not supported yet",
		"cluster { port: 1, permissions {} }":                                    "not supported yet",
		"cluster { port: 1, connect_backoff: false }":                            "not supported yet",
		"cluster { port: 1, authorization { user: a, password: \"$2a$11$x\" } }": "not supported yet",
		"cluster { port: 1, pool: 3 }":                                           "unknown field",
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
