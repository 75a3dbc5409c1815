package conn

import (
	"bytes"
	"encoding/json"
	"net/textproto"
	"strings"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/wire"
)

// Whatever a header block is, what is read of it is in it, and a field that is
// set is there once and at the end, with everything else as it was.
func FuzzTraceHeader(f *testing.F) {
	f.Add([]byte("NATS/1.0\r\nNats-Trace-Dest: a.b\r\n\r\n"))
	f.Add([]byte("NATS/1.0\r\nNats-Trace-Dest: trace disabled\r\nA: 1\r\nA: 2\r\n\r\n"))
	f.Add([]byte("NATS/1.0\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"))
	f.Add([]byte("NATS/1.0 503\r\n\r\n"))
	f.Add([]byte("NATS/1.0\r\n:\r\n: x\r\nNats-Trace-Hop:1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		h, ok := parseTraceHeader(header)
		if ok != (h.dest || h.sampled) && ok {
			t.Fatalf("%+v is taken for a wish to be traced", h)
		}
		if ok && !bytes.Contains(header, []byte(traceDest)) && !containsFold(header, traceParent) {
			t.Fatalf("traced, though a search finds nothing in %q", header)
		}
		for name, values := range h.fields {
			for _, v := range values {
				if !bytes.Contains(header, []byte(v)) || v != strings.Trim(v, " \t") || v == "" || name == "" {
					t.Fatalf("field %q: %q of %q", name, v, header)
				}
			}
		}
		if !bytes.HasPrefix(header, []byte("NATS/1.0\r\n")) || bytes.Index(header, []byte("\r\n\r\n")) != len(header)-4 ||
			bytes.Count(header, []byte("\n")) != bytes.Count(header, []byte("\r\n")) {
			return
		}
		op := &wire.Op{Kind: wire.HPub, Subject: []byte("s"), HeaderLen: len(header), Size: len(header) + 4, Body: append(bytes.Clone(header), "body\r\n"...)}
		next := withHeader(op, traceHop, "1.2")
		head := next.Body[:next.HeaderLen]
		if next.Size != next.HeaderLen+4 || string(next.Body[next.HeaderLen:]) != "body\r\n" || !bytes.HasSuffix(head, []byte("\r\nNats-Trace-Hop: 1.2\r\n\r\n")) ||
			bytes.Count(head, []byte("\r\n"+traceHop+":")) != 1 {
			t.Fatalf("%q became %q", header, head)
		}
	})
}

func TestTraceEventsAreJSON(t *testing.T) {
	e := MessageTrace{Server: map[string]string{"name": "x"}, Request: TraceRequest{Header: textproto.MIMEHeader{"A": {"1"}}, Size: 5}, Events: []any{
		&TraceIngress{TraceEvent: TraceEvent{Type: "in"}, CID: 1, Account: "$G", Subject: "s"},
	}}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"server":{"name":"x"},"request":{"header":{"A":["1"]},"msgsize":5},"events":[{"type":"in","ts":"0001-01-01T00:00:00Z","kind":0,"cid":1,"acc":"$G","subj":"s"}]}`
	if string(b) != want {
		t.Errorf("%s\nwant %s", b, want)
	}
}
