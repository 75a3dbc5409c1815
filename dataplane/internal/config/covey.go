package config

import (
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/dataplane/internal/telemetry"
)

// covey reads our own block.
func (f *file) covey(n node) {
	c := &f.o.Covey
	t := table{}
	t.add(f.str(&c.ControlPlane), "control_plane")
	t.add(f.str(&c.OTLP), "otlp")
	t.add(f.str(&c.OperatorPublicKey), "operator_public_key")
	t.add(f.str(&c.JoinTokenFile), "join_token_file")
	t.add(f.str(&c.StateDir), "state_dir")
	t.add(f.metricsPush, "metrics_otlp")
	t.add(f.duration(&c.MetricsInterval, false), "metrics_interval")
	t.add(f.quotas(&c.Limits, false), "limits")
	f.block(n, t)
}

// metricsPush reads where metrics are pushed.
func (f *file) metricsPush(n node) {
	v, ok := as[string](&f.reader, n, "a string")
	if !ok {
		return
	}
	if err := telemetry.ValidPush(v); err != nil {
		f.problem(n, "%s: %v", n.key, err)
		return
	}
	f.o.Covey.MetricsPush = v
}

// missing returns what a broker that is to be enrolled is not told.
func (c *Covey) missing() []string {
	var all []string
	if c.ControlPlane == "" {
		return nil
	}
	for _, k := range []struct{ value, name string }{
		{c.OTLP, "otlp"},
		{c.OperatorPublicKey, "operator_public_key"},
		{c.StateDir, "state_dir"},
	} {
		if k.value == "" {
			all = append(all, k.name)
		}
	}
	return all
}

// stray returns what means nothing without a control plane.
func (c *Covey) stray() bool {
	return c.ControlPlane == "" && (c.OTLP != "" || c.OperatorPublicKey != "" || c.JoinTokenFile != "")
}

func (c *Covey) badKey() bool {
	return c.OperatorPublicKey != "" && !nkeys.IsValidPublicOperatorKey(c.OperatorPublicKey)
}
