package config

import "github.com/nats-io/nkeys"

// covey reads our own block.
func (f *file) covey(n node) {
	c := &f.o.Covey
	t := table{}
	t.add(f.str(&c.ControlPlane), "control_plane")
	t.add(f.str(&c.OTLP), "otlp")
	t.add(f.str(&c.OperatorPublicKey), "operator_public_key")
	t.add(f.str(&c.JoinTokenFile), "join_token_file")
	t.add(f.str(&c.StateDir), "state_dir")
	f.block(n, t)
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
