package soak_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coveymq/covey/test/conformance/proc"
)

const hostileConf = `
accounts {
  A { users: [ {user: a, password: a} ] }
  B { users: [ {user: b, password: b} ] }
}
`

// perConnection is the memory that a connection may cost that has not said who it
// is.
const perConnection = 64 << 10

// hold opens n connections that begin in a way and stay, and returns what each
// costs. They are closed again.
func hold(t *testing.T, b *broker, n int, begin func(c net.Conn, i int) error) int64 {
	t.Helper()
	all := make([]net.Conn, n)
	defer func() {
		for _, c := range all {
			if c != nil {
				_ = c.Close() // the broker may have closed it first
			}
		}
	}()
	before := b.rss(t)
	must(t, many(n, 16, func(i int) error {
		c, err := b.dial(t.Context())
		if err != nil {
			return err
		}
		all[i] = c
		return begin(c, i)
	}))
	eventually(t, "all are there", func() bool { return b.varz(t).Connections >= n })
	return (b.rss(t) - before) / int64(n)
}

func TestMemoryBeforeAuthentication(t *testing.T) {
	tlsKeys, _, err := proc.LoopbackTLS(t.TempDir(), time.Now())
	must(t, err)
	n := 2000
	if testing.Short() {
		n = 500
	}
	for name, c := range map[string]struct {
		conf  string
		begin func(c net.Conn, i int) error
	}{
		"silent": {"", func(net.Conn, int) error { return nil }},
		"slow-loris": {"", func(c net.Conn, i int) error {
			// A line of nearly the largest size, in pieces, without an end.
			line := "CONNECT {\"name\":\"" + strings.Repeat("x", 4000)
			for len(line) > 0 {
				k := min(len(line), 500+i%7)
				if _, err := io.WriteString(c, line[:k]); err != nil {
					return err
				}
				line = line[k:]
			}
			return nil
		}},
		"half a handshake": {
			"tls { " + tlsKeys + ", timeout: 60 }\n",
			func(c net.Conn, _ int) error {
				// The head of a record of 16 KB and most of a ClientHello that never ends.
				_, err := c.Write(append([]byte{22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3}, make([]byte, 15000)...))
				return err
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := run(t, hostileConf+"authorization { timeout: 60 }\n"+c.conf)
			cost := hold(t, b, n, c.begin)
			eventually(t, "all are gone", func() bool { return b.varz(t).Connections == 0 })
			again := hold(t, b, n, c.begin)
			t.Logf("%d connections: %d bytes each, %d more the second time", n, cost, again)
			if cost > perConnection || cost+again > perConnection {
				t.Errorf("%d bytes for each connection, %d more the second time", cost, again)
			}
		})
	}
}

// Whoever says nothing is gone after the time for authentication.
func TestHalfOpenConnectionsEnd(t *testing.T) {
	b := run(t, hostileConf+"authorization { timeout: 1 }\n")
	before := b.goroutines(t)
	const n = 300
	must(t, many(n, n, func(i int) error {
		c, err := b.dial(t.Context())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if i%2 == 0 {
			_, _ = io.WriteString(c, "CONN") // its time may be up before it has said that
		}
		text, err := io.ReadAll(c)
		if errors.Is(err, syscall.ECONNRESET) {
			err = nil
		}
		if err == nil && !bytes.Contains(text, []byte("-ERR 'Authentication Timeout'")) {
			err = fmt.Errorf("closed with %q", text)
		}
		return err
	}))
	eventually(t, "no connection is left", func() bool { return b.varz(t).Connections == 0 })
	eventually(t, "no goroutine is left", func() bool { return b.goroutines(t) <= before+8 })
}

// garbage is what may come instead of a protocol.
func garbage(r *rand.Rand) []byte {
	switch r.IntN(6) {
	case 0:
		return []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	case 1:
		return []byte("CONNECT " + strings.Repeat("[", 4000) + "\r\n")
	case 2:
		return []byte("PUB " + strings.Repeat("a.", 1000) + "b 99999999999999999999\r\n")
	case 3:
		return bytes.Repeat([]byte{0x16, 0x03, 0x01}, 500)
	case 4:
		return []byte("HPUB x 100 1\r\n" + strings.Repeat("y", 200) + "\r\n")
	}
	b := make([]byte, 1+r.IntN(2000))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// abort resets the connection.
func abort(c net.Conn) error {
	if tc, ok := c.(*net.TCPConn); ok {
		_ = tc.SetLinger(0) // then it ends in the usual way
	}
	return c.Close()
}

// A hundred thousand connects that are aborted, with and without garbage, leave
// nothing behind, and other tenants lose nothing meanwhile.
func TestConnectsAndAborts(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 5_000
	}
	b := run(t, hostileConf+"max_closed_clients: 100\n")
	calm := b.live(t, "b")
	defer calm.stop()
	before := b.goroutines(t)
	strike := func(n int, seed uint64) {
		must(t, many(n, 16, func(i int) error {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var d net.Dialer
			c, err := d.DialContext(ctx, "tcp", b.Addr)
			if err != nil {
				return err
			}
			if i%3 > 0 {
				_, _ = c.Write(garbage(rand.New(rand.NewPCG(seed, uint64(i))))) //nolint:gosec // repeatable, and the broker may have closed
			}
			return abort(c)
		}))
		eventually(t, "only the tenant is left", func() bool { return b.varz(t).Connections == 1 })
	}
	strike(n/4, 1)
	warm := b.heap(t)
	strike(n-n/4, 2)
	eventually(t, "no goroutine is left", func() bool { return b.goroutines(t) <= before+8 })
	after := b.heap(t)
	t.Logf("%d connects: a heap of %d bytes after a quarter, %d at the end, %d bytes resident", n, warm, after, b.rss(t))
	// 64 bytes left behind by each would be 4.8 MB.
	if after > warm+4<<20 {
		t.Errorf("the heap grew from %d to %d bytes", warm, after)
	}
}

// Whatever is too large ends its own connection and costs nobody else anything.
func TestOversizedEverything(t *testing.T) {
	b := run(t, hostileConf)
	calm := b.live(t, "b")
	defer calm.stop()
	const login = "CONNECT {\"user\":\"a\",\"pass\":\"a\",\"verbose\":false,\"headers\":true}\r\n"
	long, deep := strings.Repeat("s", 4000), strings.TrimSuffix(strings.Repeat("t.", 1000), ".")
	warm := b.rss(t)
	for name, c := range map[string]struct{ text, want string }{
		"control line before CONNECT":  {"CONNECT {" + strings.Repeat("x", 5000) + "\r\n", "-ERR 'maximum control line exceeded'"},
		"control line":                 {login + "SUB " + strings.Repeat("x", 5000) + " 1\r\n", "-ERR 'maximum control line exceeded'"},
		"control line without an end":  {login + "PUB " + strings.Repeat("x", 5000), "-ERR 'maximum control line exceeded'"},
		"payload":                      {login + "PUB a 1048577\r\n", "-ERR 'Maximum Payload Violation'"},
		"payload of 900 MB":            {login + "PUB a 900000000\r\n", "-ERR 'Maximum Payload Violation'"},
		"payload of 2 GB":              {login + "PUB a 2147483647\r\n", ""},
		"payload of more than 64 bits": {login + "PUB a 99999999999999999999\r\n", ""},
		"headers":                      {login + "HPUB a 1048577 1048577\r\n", "-ERR 'Maximum Payload Violation'"},
		"headers beyond the message":   {login + "HPUB a 20 10\r\n", ""},
		"subject of 4,000 bytes":       {login + "SUB " + long + " 1\r\nPUB " + long + " 1\r\nx\r\nPING\r\n", "MSG " + long + " 1 1\r\nx\r\nPONG"},
		"subject of 1,000 tokens":      {login + "SUB " + deep + " 1\r\nPUB " + deep + " 1\r\nx\r\nPING\r\n", "MSG " + deep + " 1 1\r\nx\r\nPONG"},
		"1,000 wildcards":              {login + "SUB " + strings.ReplaceAll(deep, "t", "*") + " 1\r\nPUB " + deep + " 1\r\nx\r\nPING\r\n", "MSG " + deep + " 1 1\r\nx\r\nPONG"},
	} {
		c2, err := b.dial(t.Context())
		must(t, err)
		_, err = io.WriteString(c2, c.text)
		must(t, err)
		got := heard(c2, "PONG\r\n")
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
		_ = c2.Close() // the broker may have been first
	}
	// Every mixture of a wildcard and a literal in ten places, and one subject that
	// fits all.
	c, err := b.dial(t.Context())
	must(t, err)
	defer func() { _ = c.Close() }()
	var s strings.Builder
	s.WriteString(login)
	for i := range 1 << 10 {
		var tokens []string
		for bit := range 10 {
			tokens = append(tokens, []string{"t", "*"}[i>>bit&1])
		}
		fmt.Fprintf(&s, "SUB %s %d\r\n", strings.Join(tokens, "."), i)
	}
	s.WriteString("PUB " + strings.TrimSuffix(strings.Repeat("t.", 10), ".") + " 1\r\nx\r\nPING\r\n")
	_, err = io.WriteString(c, s.String())
	must(t, err)
	if got := strings.Count(heard(c, "PONG\r\n"), "MSG "); got != 1<<10 {
		t.Errorf("%d deliveries", got)
	}
	t.Logf("resident: %d bytes before, %d after", warm, b.rss(t))
}

// heard reads until a text, or the end.
func heard(c net.Conn, until string) string {
	var all []byte
	b := make([]byte, 64<<10)
	for !bytes.Contains(all, []byte(until)) {
		n, err := c.Read(b)
		all = append(all, b[:n]...)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return string(all) + "|" + err.Error()
			}
			break
		}
	}
	return string(all)
}
