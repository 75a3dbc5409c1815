package config

import "math"

// addTrace puts in the keys about lines of the protocol in the log.
func (f *file) addTrace(t table) {
	l, c := &f.o.Log, &f.o.Clients.Trace
	t.add(f.boolean(&l.Trace), "trace")
	t.add(func(n node) {
		// What the broker itself sends is traced where it reaches a client.
		if v, ok := as[bool](&f.reader, n, "a boolean"); ok {
			l.Trace = v
		}
	}, "trace_verbose")
	t.add(f.boolean(&c.HeadersOnly), "trace_headers")
	t.add(integer(&f.reader, &c.MaxPayload, 0, math.MaxInt32), "max_traced_msg_len")
}

// defineTrace defines the flags of the same.
func (p *parser) defineTrace() {
	p.boolean(func(o *Options, v bool) { o.Log.Trace = v }, "V", "trace", "VV")
	p.boolean(func(o *Options, v bool) { o.Log.Debug, o.Log.Trace = v, v }, "DV", "DVV")
	p.num(0, math.MaxInt32, func(o *Options, v int64) { o.Clients.Trace.MaxPayload = int(v) }, "max_traced_msg_len")
}
