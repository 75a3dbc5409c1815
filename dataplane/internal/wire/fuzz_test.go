package wire_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coveymq/covey/dataplane/internal/wire"
)

// FuzzParser holds four properties: no panic; nothing beyond one operation is
// held; what was parsed, encoded and parsed again is the same; and however the
// input is cut, the operations and the error are those of the whole.
func FuzzParser(f *testing.F) {
	for _, in := range []string{
		"CONNECT {}\r\nPING\r\n", "PUB a 2\r\nhi\r\nPUB a r 2\r\nhi\r\n", "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
		"SUB a q 1\r\nUNSUB 1 2\r\n", "-ERR 'x'\r\n+OK\r\nINFO {}\r\n", "SUB \n\r\r\n", "pub\ta\r 2\nhi\r\n",
		"PUB a 1\r\nhi\r\n", "PING xx\r\nPUB a 99999\r\n",
	} {
		f.Add([]byte(in), uint16(3), uint16(11))
	}
	f.Fuzz(func(t *testing.T, in []byte, a, b uint16) {
		ops, err := parse(t, newParser(), in)

		i := int(a) % (len(in) + 1)
		j := i + int(b)%(len(in)-i+1)
		checkPieces(t, ops, err, in[:i], in[i:j], in[j:])
		if len(in) <= 100 {
			checkSplits(t, in, ops, err)
		}

		var encoded []byte
		for k := range ops {
			encoded = encode(encoded, &ops[k])
		}
		again, err := parse(t, &wire.Parser{MaxControlLine: 4 * testControlLine, MaxPayload: testPayload}, encoded)
		if err != nil {
			t.Fatalf("encoded operations %q: %v", encoded, err)
		}
		if d := cmp.Diff(normal(ops), normal(again)); d != "" {
			t.Errorf("encoded and parsed again: %s", d)
		}
	})
}

// encode appends an operation in its canonical form.
func encode(dst []byte, o *operation) []byte {
	switch o.Kind {
	case wire.Pub, wire.HPub:
		dst = append(dst, map[wire.Kind]string{wire.Pub: "PUB ", wire.HPub: "HPUB "}[o.Kind]...)
		op := wire.Op{HeaderLen: o.HeaderLen, Size: o.Size, Body: []byte(o.Body)}
		if o.HasReply {
			op.Reply = []byte(o.Reply)
		}
		return op.AppendTail(append(append(dst, o.Subject...), ' '))
	case wire.None, wire.Connect, wire.Sub, wire.Unsub, wire.Err, wire.Info:
	case wire.Ping, wire.Pong, wire.OK:
		return append(dst, map[wire.Kind]string{wire.Ping: "PING\r\n", wire.Pong: "PONG\r\n", wire.OK: "+OK\r\n"}[o.Kind]...)
	default: // of routes
	}
	verb := map[wire.Kind]string{wire.Connect: "CONNECT", wire.Sub: "SUB", wire.Unsub: "UNSUB", wire.Err: "-ERR", wire.Info: "INFO"}[o.Kind]
	// The CR that ends the line drops itself, whatever else is in the argument.
	return fmt.Appendf(dst, "%s %s\r\n", verb, o.Arg)
}

// normal drops how a size was spelled: encoding does not keep leading zeros.
func normal(ops []operation) []operation {
	out := append([]operation(nil), ops...)
	for i := range out {
		out[i].Tail = ""
	}
	return out
}

func FuzzCountFrames(f *testing.F) {
	f.Add([]byte("hello"), uint8(3), uint16(9))
	f.Add([]byte("MSG a 1 0\r\n\r\n"), uint8(2), uint16(30))
	f.Fuzz(func(t *testing.T, payload []byte, n uint8, cut uint16) {
		var b []byte
		var ends []int
		for range n % 8 {
			b = append(fmt.Appendf(b, "MSG a 1 %d\r\n%s\r\n", len(payload), payload), "+OK\r\n"...)
			ends = append(ends, len(b)-len("+OK\r\n"))
		}
		b = b[:int(cut)%(len(b)+1)]
		want := uint64(0)
		for _, e := range ends {
			if e <= len(b) {
				want++
			}
		}
		frames, size := wire.CountFrames(b)
		if frames != want || size != want*uint64(len(payload)) {
			t.Errorf("%q: %d frames of %d bytes, want %d", b, frames, size, want)
		}
	})
}

var benchmarkStreams = map[string][]byte{ //nolint:gochecknoglobals // constant
	"pub-16B":   bytes.Repeat([]byte("PUB foo.bar 16\r\n0123456789abcdef\r\n"), 1000),
	"pub-1KiB":  bytes.Repeat(append(append([]byte("PUB foo.bar 1024\r\n"), make([]byte, 1024)...), "\r\n"...), 60),
	"hpub":      bytes.Repeat([]byte("HPUB foo.bar reply 12 28\r\nNATS/1.0\r\n\r\n0123456789abcdef\r\n"), 1000),
	"sub-unsub": bytes.Repeat([]byte("SUB foo.bar.baz 123\r\nUNSUB 123\r\n"), 1000),
}

func BenchmarkParser(b *testing.B) {
	for name, stream := range benchmarkStreams {
		b.Run(name, func(b *testing.B) {
			p := &wire.Parser{MaxControlLine: 4096, MaxPayload: 1 << 20}
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				for at := 0; at < len(stream); {
					n, err := p.Next(stream[at:])
					if err != nil {
						b.Fatal(err)
					}
					at += n
				}
			}
		})
	}
}
