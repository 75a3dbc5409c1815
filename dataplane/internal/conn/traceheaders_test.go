package conn

import "testing"

func TestHeadersThatAskToBeMeasured(t *testing.T) {
	for _, c := range []struct {
		lines string
		asks  bool
	}{
		{"A: b\r\n", false},
		{"B3: 0\r\n", false},
		{"B3: 1\r\n", true},
		{"B3: d\r\n", true},
		{"B3: trace-span\r\n", true},
		{"B3: trace-span-0\r\n", false},
		{"b3: trace-span-1-parent\r\n", true},
		{"X-B3-Sampled: 0\r\nX-B3-TraceId: x\r\n", false},
		{"X-B3-Sampled: 1\r\n", true},
		{"X-B3-Sampled: d\r\nX-B3-TraceId: x\r\n", true},
		{"X-B3-TraceId: x\r\n", true},
		{"Uber-Trace-Id: a:b:c:1\r\n", true},
		{"Uber-Trace-Id: a:b:c:03\r\n", true},
		{"Uber-Trace-Id: a:b:c:2\r\n", false},
		{"Uber-Trace-Id: a:b:c:zz\r\n", false},
		{"Uber-Trace-Id: a:b:c\r\nB3: 1\r\n", false},
		{"Traceparent: 00-a-b-01\r\n", true},
		{"Traceparent: 00-a-b-00\r\n", false},
		{"Traceparent: 00-a-b\r\n", false},
	} {
		if got := traced([]byte("NATS/1.0\r\n" + c.lines + "\r\n")); (got != nil) != c.asks {
			t.Errorf("%q: %v, want %v", c.lines, got, c.asks)
		}
	}
}
