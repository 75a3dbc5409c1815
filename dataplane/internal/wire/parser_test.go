package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coveymq/covey/dataplane/internal/wire"
)

const (
	testControlLine = 64
	testPayload     = 4096
)

// operation is an Op that does not point into a buffer.
type operation struct {
	Kind      wire.Kind
	Arg       string
	Subject   string
	Reply     string
	HasReply  bool
	HeaderLen int
	Size      int
	Body      string
	Tail      string
}

func snapshot(o *wire.Op) operation {
	switch o.Kind {
	case wire.Pub, wire.HPub:
		tail := o.Tail
		if tail == nil {
			tail = o.AppendTail(nil)
		}
		return operation{
			Kind: o.Kind, Subject: string(o.Subject), Reply: string(o.Reply), HasReply: o.Reply != nil,
			HeaderLen: o.HeaderLen, Size: o.Size, Body: string(o.Body), Tail: string(tail),
		}
	case wire.Connect, wire.Sub, wire.Unsub, wire.Err, wire.Info:
		return operation{Kind: o.Kind, Arg: string(o.Arg)}
	case wire.None, wire.Ping, wire.Pong, wire.OK:
	default: // of routes
	}
	return operation{Kind: o.Kind}
}

func newParser() *wire.Parser {
	return &wire.Parser{MaxControlLine: testControlLine, MaxPayload: testPayload}
}

// parse feeds the pieces to a parser the way a connection does, and returns the
// operations and the error that ended them.
func parse(tb testing.TB, p *wire.Parser, pieces ...[]byte) (ops []operation, err error) {
	tb.Helper()
	var buf []byte
	for _, piece := range pieces {
		// A new array each time: what the parser kept of the old one would show.
		buf = append(bytes.Clone(buf), piece...)
		for {
			n, err := p.Next(buf)
			if n < 0 || n > len(buf) {
				tb.Fatalf("Next consumed %d of %d bytes", n, len(buf))
			}
			if err == nil && p.Op.Kind != wire.None {
				if n == 0 {
					tb.Fatal("an operation took no bytes")
				}
				ops = append(ops, snapshot(&p.Op))
			}
			if err != nil {
				return ops, err
			}
			if p.Need > 0 && (n > 0 || p.Need <= len(buf) || p.Need > testControlLine+testPayload+64) {
				tb.Fatalf("Need = %d with %d bytes there and %d consumed", p.Need, len(buf), n)
			}
			buf = buf[n:]
			if p.Op.Kind == wire.None {
				break
			}
		}
		// What is held back is at most one operation.
		if len(buf) > 2*testControlLine+testPayload+16 {
			tb.Fatalf("%d bytes are held without an operation or an error", len(buf))
		}
	}
	return ops, nil
}

func pub(subject, body string) operation {
	return operation{
		Kind: wire.Pub, Subject: subject, HeaderLen: -1, Size: len(body),
		Body: body + "\r\n", Tail: fmt.Sprintf("%d\r\n%s\r\n", len(body), body),
	}
}

func reply(o operation, to string) operation {
	o.Reply, o.HasReply, o.Tail = to, true, to+" "+o.Tail
	return o
}

func line(k wire.Kind, arg string) operation { return operation{Kind: k, Arg: arg} }

func TestParse(t *testing.T) {
	hpub := operation{Kind: wire.HPub, Subject: "a", HeaderLen: 12, Size: 14, Body: "NATS/1.0\r\n\r\nhi\r\n", Tail: "12 14\r\nNATS/1.0\r\n\r\nhi\r\n"}
	for _, c := range []struct {
		name, in string
		want     []operation
		err      error
	}{
		{"nothing", "", nil, nil},
		{"pub", "PUB a 2\r\nhi\r\n", []operation{pub("a", "hi")}, nil},
		{"pub without payload", "PUB a 0\r\n\r\n", []operation{pub("a", "")}, nil},
		{"pub with reply", "PUB a r 2\r\nhi\r\n", []operation{reply(pub("a", "hi"), "r")}, nil},
		{"lower case, tabs, bare LF", "pub\t a\tr \t2\nhi\r\n", []operation{reply(pub("a", "hi"), "r")}, nil},
		{"blanks behind the size", "PUB a 2  \r\nhi\r\n", []operation{pub("a", "hi")}, nil},
		{"payload that looks like a line", "PUB a 8\r\nPING\r\n\r\n\r\n", []operation{pub("a", "PING\r\n\r\n")}, nil},
		{"size with leading zeros", "PUB a 002\r\nhi\r\n", []operation{{Kind: wire.Pub, Subject: "a", HeaderLen: -1, Size: 2, Body: "hi\r\n", Tail: "002\r\nhi\r\n"}}, nil},
		{"hpub", "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", []operation{hpub}, nil},
		{"hpub with reply", "hPuB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", []operation{reply(hpub, "r")}, nil},
		{"sub", "SUB a 1\r\nsub a q 2\n", []operation{line(wire.Sub, "a 1"), line(wire.Sub, "a q 2")}, nil},
		{"unsub", "UNSUB 1 5\r\n", []operation{line(wire.Unsub, "1 5")}, nil},
		{"connect", "CONNECT {}\r\n", []operation{line(wire.Connect, "{}")}, nil},
		{"info and -err", "INFO {}\r\n-ERR 'x'\r\n", []operation{line(wire.Info, "{}"), line(wire.Err, "'x'")}, nil},
		{"ping, pong, +ok", "PING\r\nPoNg\n+OK\r\n", []operation{{Kind: wire.Ping}, {Kind: wire.Pong}, {Kind: wire.OK}}, nil},
		{"ping ignores the rest of its line", "PINGxyz abc\r\nPONG\r\n", []operation{{Kind: wire.Ping}, {Kind: wire.Pong}}, nil},
		{"ping has no line limit", "PING" + strings.Repeat("x", 10*testControlLine) + "\r\n", []operation{{Kind: wire.Ping}}, nil},
		{"a CR in the argument drops its last byte", "SUB a\rb 12\n", []operation{line(wire.Sub, "a\rb 1")}, nil},
		{"the first byte is no end of line", "SUB \nb 1\r\n", []operation{line(wire.Sub, "\nb 1")}, nil},
		{"no LF gets into a subject", "PUB \nb 2\r\nhi\r\n", nil, wire.ErrArguments},
		{"a CR is no blank in PUB", "PUB b\r2\r\nhi\r\n", nil, wire.ErrArguments},
		{"a CR is no part of a size", "PUB b 2\r.\nhi\r\n", nil, wire.ErrArguments},

		{"unknown verb", "PING\r\nFOO\r\n", []operation{{Kind: wire.Ping}}, wire.ErrUnknownOperation},
		{"empty line", "\r\n", nil, wire.ErrUnknownOperation},
		{"msg is the server's", "MSG a 1 0\r\n\r\n", nil, wire.ErrUnknownOperation},
		{"verb without a blank", "PUBa 2\r\nhi\r\n", nil, wire.ErrUnknownOperation},
		{"verb cut short", "SU\r\n", nil, wire.ErrUnknownOperation},
		{"connect without argument", "CONNECT\r\n", []operation{{Kind: wire.Connect, Arg: "\r"}}, nil},
		{"connect without a blank", "CONNECT{}\r\n", []operation{{Kind: wire.Connect, Arg: "{}"}}, nil},
		{"payload longer than said", "PUB a 1\r\nhi\r\n", nil, wire.ErrUnknownOperation},
		{"payload without CR", "PUB a 2\r\nhi\n\n", nil, wire.ErrUnknownOperation},
		{"pub without size", "PUB a\r\n", nil, wire.ErrArguments},
		{"pub with too much", "PUB a b c 2\r\nhi\r\n", nil, wire.ErrArguments},
		{"pub with negative size", "PUB a -2\r\nhi\r\n", nil, wire.ErrArguments},
		{"size of ten digits", "PUB a 0000000002\r\nhi\r\n", nil, wire.ErrArguments},
		{"header longer than the message", "HPUB a 3 2\r\nhi\r\n", nil, wire.ErrArguments},
		{"hpub with one size", "HPUB a 2\r\nhi\r\n", nil, wire.ErrArguments},
		{"hpub with too much", "HPUB a b c 0 2\r\nhi\r\n", nil, wire.ErrArguments},
		{"payload over the limit", fmt.Sprintf("PUB a %d\r\n", testPayload+1), nil, wire.ErrMaxPayload},
		{"line at the limit", "SUB " + strings.Repeat("a", testControlLine) + "\r\n", []operation{line(wire.Sub, strings.Repeat("a", testControlLine))}, nil},
		{"line over the limit", "SUB " + strings.Repeat("a", testControlLine+1) + "\r\n", nil, wire.ErrMaxControlLine},
		{"line without an end", "CONNECT " + strings.Repeat("a", testControlLine+1), nil, wire.ErrMaxControlLine},
		{"blanks without an end", "SUB " + strings.Repeat(" ", testControlLine+1), nil, wire.ErrMaxControlLine},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parse(t, newParser(), []byte(c.in))
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("error = %v, want %v", err, c.err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			checkSplits(t, []byte(c.in), got, err)
		})
	}
}

// checkSplits parses in cut in two at every place, and byte by byte.
func checkSplits(tb testing.TB, in []byte, want []operation, wantErr error) {
	tb.Helper()
	for i := range len(in) + 1 {
		checkPieces(tb, want, wantErr, in[:i], in[i:])
	}
	var bytewise [][]byte
	for i := range in {
		bytewise = append(bytewise, in[i:i+1])
	}
	checkPieces(tb, want, wantErr, bytewise...)
}

func checkPieces(tb testing.TB, want []operation, wantErr error, pieces ...[]byte) {
	tb.Helper()
	got, err := parse(tb, newParser(), pieces...)
	if !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
		tb.Errorf("cut as %q: error = %v, whole %v", pieces, err, wantErr)
	}
	if d := cmp.Diff(want, got); d != "" {
		tb.Errorf("cut as %q differs from the whole: %s", pieces, d)
	}
}

func TestPayloadLimitOff(t *testing.T) {
	p := newParser()
	p.MaxPayload = -1
	if n, err := p.Next([]byte("PUB a 999999999\r\n")); n != 0 || err != nil || p.Need != 17+999999999+2 {
		t.Errorf("Next = %d, %v, Need %d", n, err, p.Need)
	}
}

func TestArgs(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want [2]string
	}{
		{"", 0, [2]string{}},
		{" \t\r\n", 0, [2]string{}},
		{"a", 1, [2]string{"a"}},
		{" a\tb\r", 2, [2]string{"a", "b"}},
		{"a b c d", 4, [2]string{"a", "b"}},
	} {
		var f [2][]byte
		n := wire.Args([]byte(c.in), f[:])
		if n != c.n || string(f[0]) != c.want[0] || string(f[1]) != c.want[1] {
			t.Errorf("Args(%q) = %d %q, want %d %q", c.in, n, f, c.n, c.want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int{
		"": -1, "0": 0, "7": 7, "007": 7, "999999999": 999999999, "1000000000": -1, "-1": -1, "+1": -1, "1x": -1, " 1": -1,
	} {
		if got := wire.ParseSize([]byte(in)); got != want {
			t.Errorf("ParseSize(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestCountFrames(t *testing.T) {
	const stream = "MSG a 1 2\r\nhi\r\n" + "+OK\r\n" + "HMSG a 1 r 12 17\r\nNATS/1.0\r\n\r\nMSG a\r\n" + "PONG\r\n" +
		"MSG b 2 11\r\nMSG a 1 0\r\n\r\n" + "-ERR 'x'\r\n" + "MSG c 3 0\r\n\r\n"
	ends := map[int][2]uint64{}
	at, total := 0, [2]uint64{}
	for _, f := range []struct {
		end  string
		size uint64
	}{{"hi\r\n", 2}, {"MSG a\r\n", 17}, {"MSG a 1 0\r\n\r\n", 11}, {"MSG c 3 0\r\n\r\n", 0}} {
		at += strings.Index(stream[at:], f.end) + len(f.end)
		total[0]++
		total[1] += f.size
		ends[at] = total
	}
	want := [2]uint64{}
	for i := range len(stream) + 1 {
		if w, ok := ends[i]; ok {
			want = w
		}
		if n, size := wire.CountFrames([]byte(stream[:i])); n != want[0] || size != want[1] {
			t.Errorf("the first %d bytes: %d frames of %d bytes, want %v", i, n, size, want)
		}
	}
	if want[0] != 4 {
		t.Fatalf("the test lost its way: %v", want)
	}
}

func TestParsingDoesNotAllocate(t *testing.T) {
	for _, in := range []string{
		"PUB foo.bar 5\r\nhello\r\n", "PUB foo.bar reply 5\r\nhello\r\n",
		"HPUB foo.bar 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "PING\r\n", "SUB a q 1\r\n", "PUB  foo\t5\r\nhello\r\n",
	} {
		p, buf := newParser(), []byte(in)
		var args [3][]byte
		if n := testing.AllocsPerRun(100, func() {
			if _, err := p.Next(buf); err != nil || p.Op.Kind == wire.None {
				t.Fatal("not parsed")
			}
			wire.Args(p.Op.Arg, args[:])
		}); n != 0 {
			t.Errorf("%q: %v allocations", in, n)
		}
	}
}
