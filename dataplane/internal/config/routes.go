package config

import (
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/route"
	"github.com/coveymq/covey/dataplane/internal/secure"
)

// maxRoutePing is the longest ping interval of routes, as in nats-server.
const maxRoutePing = 30 * time.Second

func (f *file) clusterPing(n node) {
	to := &f.o.Cluster.PingInterval
	f.duration(to, true)(n)
	switch {
	case *to < 0:
		f.problem(n, "%s cannot be negative", n.key)
	case *to > maxRoutePing:
		f.warn(n, "cluster ping_interval is set to %v, which is the most for routes", maxRoutePing)
		*to = maxRoutePing
	}
}

// refuse returns what answers a key with a reason.
func (f *file) refuse(format string) func(node) {
	return func(n node) { f.problem(n, format, n.key) }
}

// clusterTLS reads how routes are encrypted.
func (f *file) clusterTLS(n node) {
	o := &secure.Options{}
	if !f.tlsOptions(n, o, f.addPeerTLS) {
		return
	}
	settings, err := secure.LoadPeer(*o)
	if err != nil {
		f.problem(n, "%v", err)
		return
	}
	f.o.Cluster.TLS = settings
}

// clusterPermissions reads what may cross routes.
func (f *file) clusterPermissions(n node) {
	p := f.permissions(n)
	if p.Resp != nil {
		f.problem(n, "cluster permissions do not support dynamic responses")
	}
	f.o.Cluster.Permissions = route.Permissions{Import: f.routeSubjects(n, p.Pub), Export: f.routeSubjects(n, p.Sub)}
}

func (f *file) routeSubjects(n node, p jwt.Permission) *route.Subjects {
	if p.Allow == nil && p.Deny == nil {
		return nil
	}
	for _, s := range append(append([]string{}, p.Allow...), p.Deny...) {
		if strings.ContainsAny(s, " \t") {
			f.problem(n, "cluster permissions are about subjects, not queues: %q", s)
		}
	}
	return &route.Subjects{Allow: p.Allow, Deny: p.Deny}
}

// clusterCompression reads how routes are compressed.
func (f *file) clusterCompression(n node) {
	var c route.Compression
	switch v := n.value.(type) {
	case bool:
		c.Mode = route.CompressionOff
		if v {
			c.Mode = route.CompressionS2Fast
		}
	case string:
		c.Mode = strings.ToLower(v)
	case map[string]any:
		t := table{}
		t.add(f.str(&c.Mode), "mode")
		t.add(func(n node) { c.Thresholds = f.thresholds(n) }, "rtt_thresholds", "thresholds", "rtts", "rtt")
		f.block(n, t)
		c.Mode = strings.ToLower(c.Mode)
	default:
		f.problem(n, "%s must be a boolean, a mode or a block, not %s", n.key, kind(n.value))
		return
	}
	normal, err := c.Normal()
	if err != nil {
		f.problem(n, "%v", err)
		return
	}
	f.o.Cluster.Compression = normal
}

func (f *file) thresholds(n node) []time.Duration {
	all, _ := f.strs(n)
	out := make([]time.Duration, 0, len(all))
	for _, s := range all {
		d, err := time.ParseDuration(s)
		if err != nil {
			f.problem(n, "%q is not a duration such as \"10ms\"", s)
			continue
		}
		out = append(out, d)
	}
	return out
}
