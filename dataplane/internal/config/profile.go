package config

import "math"

// Profile is where profiles of the process are served, in the form of Go's pprof.
type Profile struct {
	// Port is on loopback; 0 for not at all. It may be AnyPort.
	Port int
	// BlockRate is how many nanoseconds of waiting make one sample of the profile
	// of waits; 0 for none.
	BlockRate int
}

func (f *file) addProfile(t table) {
	t.add(f.port(&f.o.Profile.Port), "prof_port")
	t.add(integer(&f.reader, &f.o.Profile.BlockRate, 0, math.MaxInt32), "prof_block_rate")
}

// addReports puts in how often it is said that another broker is not reached.
func (f *file) addReports(t table) {
	t.add(integer(&f.reader, &f.o.ConnectReports, 0, math.MaxInt32), "connect_error_reports")
	t.add(integer(&f.reader, &f.o.ReconnectReports, 0, math.MaxInt32), "reconnect_error_reports")
}

func (p *parser) defineProfile() {
	p.num(AnyPort, 65535, func(o *Options, n int64) { o.Profile.Port = int(n) }, "profile")
}

// featureFlags are nats-server's, with their defaults. All are about streams.
var featureFlags = map[string]bool{ //nolint:gochecknoglobals // constant
	"js_ack_fc_v2": false, "js_api_reply_v2": false, "js_raft_delete_range": true, "js_snapshot_sources": false,
}

// featureFlags accepts the flags that ask for what is so without them.
func (f *file) featureFlags(n node) {
	members, ok := n.members()
	if !ok {
		f.problem(n, "%s must be a block, not %s", n.key, kind(n.value))
		return
	}
	for _, m := range members {
		standard, known := featureFlags[m.key]
		v, ok := as[bool](&f.reader, m, "a boolean")
		switch {
		case !ok:
		case !known:
			f.problem(m, "unknown feature flag %q", m.key)
		case v != standard:
			f.unsupported(m)
		}
	}
}
