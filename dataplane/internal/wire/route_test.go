package wire_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/wire"
)

// parseAll feeds a route's bytes in pieces of the given size, as a reader does,
// and returns what was understood, one line each, and the error that ended it.
func parseAll(in []byte, piece int, dedicated bool) (out []string, err error) {
	p := wire.RouteParser{Parser: wire.Parser{MaxControlLine: 256, MaxPayload: -1}, Dedicated: dedicated}
	var held []byte
	for len(in) > 0 {
		n := min(piece, len(in))
		held, in = append(held, in[:n]...), in[n:]
		for len(held) > 0 {
			n, err := p.Next(held)
			if err != nil {
				return out, err
			}
			if p.Op.Kind != wire.None {
				out = append(out, describe(&p))
			}
			held = append([]byte(nil), held[n:]...)
			if p.Op.Kind == wire.None {
				break
			}
		}
	}
	return out, nil
}

func describe(p *wire.RouteParser) string {
	if p.Op.Kind != wire.RouteMsg {
		arg := ""
		switch p.Op.Kind {
		case wire.Ping, wire.Pong, wire.OK:
		default:
			arg = string(p.Op.Arg)
		}
		return fmt.Sprintf("%d %s", p.Op.Kind, arg)
	}
	tail := p.Op.Tail
	if tail == nil {
		tail = p.Op.AppendTail(nil)
	}
	return fmt.Sprintf("msg acc=%s subj=%s reply=%s queues=%q hdr=%d size=%d body=%q tail=%q",
		p.Account, p.Op.Subject, p.Op.Reply, p.Queues, p.Op.HeaderLen, p.Op.Size, p.Op.Body, tail)
}

func TestRouteOperations(t *testing.T) {
	for _, c := range []struct {
		in        string
		dedicated bool
		want      string
		err       error
	}{
		{in: "RS+ A foo\r\n", want: fmt.Sprintf("%d A foo", wire.RouteSub)},
		{in: "rs- A foo q\r\n", want: fmt.Sprintf("%d A foo q", wire.RouteUnsub)},
		{in: "LS+ east A foo q 3\n", want: fmt.Sprintf("%d east A foo q 3", wire.LeafSub)},
		{in: "LS- A foo\r\n", want: fmt.Sprintf("%d A foo", wire.LeafUnsub)},
		{in: "A+ A\r\n", want: fmt.Sprintf("%d A", wire.AccountSub)},
		{in: "A- A\r\n", want: fmt.Sprintf("%d A", wire.AccountUnsub)},
		{in: "PING\r\n", want: fmt.Sprintf("%d ", wire.Ping)},
		{in: "RMSG A foo 2\r\nhi\r\n", want: `msg acc=A subj=foo reply= queues=[] hdr=-1 size=2 body="hi\r\n" tail="2\r\nhi\r\n"`},
		{in: "RMSG A foo r 2\r\nhi\r\n", want: `msg acc=A subj=foo reply=r queues=[] hdr=-1 size=2 body="hi\r\n" tail="r 2\r\nhi\r\n"`},
		{in: "RMSG A foo | 2\r\nhi\r\n", want: `msg acc=A subj=foo reply=| queues=[] hdr=-1 size=2 body="hi\r\n" tail="| 2\r\nhi\r\n"`},
		{in: "RMSG A foo | q 2\r\nhi\r\n", want: `msg acc=A subj=foo reply= queues=["q"] hdr=-1 size=2 body="hi\r\n" tail="2\r\nhi\r\n"`},
		{in: "RMSG A foo + r q p 2\r\nhi\r\n", want: `msg acc=A subj=foo reply=r queues=["q" "p"] hdr=-1 size=2 body="hi\r\n" tail="r 2\r\nhi\r\n"`},
		{in: "RMSG foo + r q 2\r\nhi\r\n", dedicated: true, want: `msg acc= subj=foo reply=r queues=["q"] hdr=-1 size=2 body="hi\r\n" tail="r 2\r\nhi\r\n"`},
		{in: "RMSG foo 0\r\n\r\n", dedicated: true, want: `msg acc= subj=foo reply= queues=[] hdr=-1 size=0 body="\r\n" tail="0\r\n\r\n"`},
		{in: "HMSG\tA  foo r 4 6\r\nhhhhhi\r\n", want: `msg acc=A subj=foo reply=r queues=[] hdr=4 size=6 body="hhhhhi\r\n" tail="r 4 6\r\nhhhhhi\r\n"`},
		{in: "HMSG A foo | q 4 6\r\nhhhhhi\r\n", want: `msg acc=A subj=foo reply= queues=["q"] hdr=4 size=6 body="hhhhhi\r\n" tail="4 6\r\nhhhhhi\r\n"`},
		{in: "RMSG A 2\r\nhi\r\n", err: wire.ErrArguments},
		{in: "RMSG A foo r q 2\r\nhi\r\n", err: wire.ErrArguments},
		{in: "RMSG A foo x\r\nhi\r\n", err: wire.ErrArguments},
		{in: "HMSG A foo 6 4\r\nhhhh\r\n", err: wire.ErrArguments},
		{in: "RMSG A foo 2\r\nhixx", err: wire.ErrUnknownOperation},
		{in: "SUB foo 1\r\n", err: wire.ErrUnknownOperation},
		{in: "PUB foo 2\r\nhi\r\n", err: wire.ErrUnknownOperation},
		{in: "RX\r\n", err: wire.ErrUnknownOperation},
		{in: "RS+ A " + strings.Repeat("x", 300) + "\r\n", err: wire.ErrMaxControlLine},
	} {
		for piece := 1; piece <= len(c.in); piece++ {
			got, err := parseAll([]byte(c.in), piece, c.dedicated)
			if !errors.Is(err, c.err) || strings.Join(got, "\n") != c.want {
				t.Errorf("%q in pieces of %d = %q, %v; want %q, %v", c.in, piece, got, err, c.want, c.err)
				break
			}
		}
	}
}

// Whatever comes, the pieces it comes in change nothing.
func FuzzRouteSplit(f *testing.F) {
	f.Add([]byte("RS+ A foo q 3\r\nRMSG A foo + r q 2\r\nhi\r\nPING\r\n"), 3, false)
	f.Add([]byte("HMSG foo | a b 4 6\r\nhhhhhi\r\nRS- foo\r\n"), 1, true)
	f.Add([]byte("INFO {}\r\n+OK\r\nA+ x\r\nLS+ o A s\r\n-ERR 'x'\r\n"), 5, false)
	f.Fuzz(func(t *testing.T, in []byte, piece int, dedicated bool) {
		if len(in) > 1<<12 {
			return
		}
		piece = 1 + (piece&0xff)%64
		whole, wholeErr := parseAll(in, len(in), dedicated)
		parts, partsErr := parseAll(in, piece, dedicated)
		if wholeErr == nil && partsErr == nil && strings.Join(whole, "\n") != strings.Join(parts, "\n") {
			t.Errorf("whole %q, in pieces of %d %q", whole, piece, parts)
		}
		for i := range min(len(whole), len(parts)) {
			if whole[i] != parts[i] {
				t.Errorf("operation %d: whole %q, in pieces %q", i, whole[i], parts[i])
			}
		}
	})
}
