// Package load generates traffic for the benchmarks over raw sockets. It is
// bounded in everything it does: windows of messages in flight, connections,
// and time; it counts every delivery and fails when the count is not exact. It
// knows enough of the protocol to count and no more, so that the processor is
// left to the server under measurement.
//
// It connects to loopback addresses only. A Conn is read by one goroutine and
// may be written by others.
package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

const (
	dialTimeout = 10 * time.Second
	// ioTimeout bounds a wait for a server that should answer at once.
	ioTimeout = 30 * time.Second
	// BufferMin holds the longest control line we expect, INFO, several times over.
	BufferMin = 4 << 10
	// stampSize is the marker byte and eight bytes of time at the front of a
	// stamped payload.
	stampSize = 9
	stampMark = 0x01
	crlfSize  = 2
)

var (
	errNotLoopback = errors.New("only loopback servers are loaded")
	errServer      = errors.New("server refused")
	errProtocol    = errors.New("unexpected bytes from the server")
)

// hello is what every connection says of itself.
const hello = `"verbose":false,"pedantic":false,"protocol":0,"headers":true,"no_responders":true,"lang":"bench","version":"1"`

// Dialer makes connections to one server.
type Dialer struct {
	Addr string
	// TLS, if not nil, upgrades each connection after INFO.
	TLS *tls.Config
	// Name, if not empty, is who to be, with the same word for a password.
	Name string
	// Buffer is the size of the read buffer of each connection.
	Buffer int
	// Users, if any, are who the connections are, in turn; Dial takes the first.
	Users []*User
}

// Conn is a connection that counts what it receives.
type Conn struct {
	// OnMessage, if set before reading, gets the control line of each message.
	OnMessage func(line []byte)

	nc    net.Conn
	nonce string // of the first INFO

	// owned by the reader
	buf  []byte
	r, w int
	skip int // bytes of the current message still to come
}

// Counts is what one Read found.
type Counts struct {
	Messages, Pongs int
}

// Dial connects, says CONNECT and waits for the PONG that proves it took.
func (d Dialer) Dial(ctx context.Context) (*Conn, error) {
	host, _, err := net.SplitHostPort(d.Addr)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, errNotLoopback
	}
	nd := net.Dialer{Timeout: dialTimeout}
	nc, err := nd.DialContext(ctx, "tcp", d.Addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &Conn{nc: nc, buf: make([]byte, max(d.Buffer, BufferMin))}
	if err := c.handshake(ctx, d); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return c, nil
}

func (c *Conn) handshake(ctx context.Context, d Dialer) error {
	if d.TLS != nil || len(d.Users) > 0 {
		// Before TLS the server says INFO and nothing else.
		if _, err := c.Read(nil); err != nil {
			return fmt.Errorf("read info: %w", err)
		}
	}
	if d.TLS != nil {
		secure := tls.Client(c.nc, d.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("tls handshake: %w", err)
		}
		c.nc = secure
	}
	credentials := ""
	if d.Name != "" {
		credentials = fmt.Sprintf(`"user":%q,"pass":%q,`, d.Name, d.Name)
	}
	if len(d.Users) > 0 {
		var err error
		if credentials, err = d.Users[0].credentials(c.nonce); err != nil {
			return err
		}
	}
	if err := c.Write([]byte("CONNECT {" + credentials + hello + "}\r\n")); err != nil {
		return err
	}
	return c.Sync()
}

// Write sends bytes as they are.
func (c *Conn) Write(p []byte) error {
	_, err := c.nc.Write(p)
	return err
}

// Sync sends PING and reads until its PONG; messages on the way are an error,
// because nobody would count them.
func (c *Conn) Sync() error {
	if err := c.nc.SetReadDeadline(time.Now().Add(ioTimeout)); err != nil {
		return err
	}
	if err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	for {
		n, err := c.Read(nil)
		if err != nil {
			return err
		}
		if n.Messages > 0 {
			return errProtocol
		}
		if n.Pongs > 0 {
			return c.nc.SetReadDeadline(time.Time{})
		}
	}
}

// AwaitEnd reads until the server ends the connection.
func (c *Conn) AwaitEnd() error {
	if err := c.nc.SetReadDeadline(time.Now().Add(ioTimeout)); err != nil {
		return err
	}
	for {
		if _, err := c.Read(nil); errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		} else if err != nil {
			return nil //nolint:nilerr // it is what was awaited
		}
	}
}

// Close ends the connection.
func (c *Conn) Close() error { return c.nc.Close() }

// Abort ends the connection at once, leaving no socket in TIME_WAIT behind.
func (c *Conn) Abort() error {
	if tcp, ok := c.nc.(interface{ SetLinger(sec int) error }); ok {
		if err := tcp.SetLinger(0); err != nil {
			return err
		}
	}
	return c.nc.Close()
}

// Read makes one read of the socket and counts the frames that are complete.
// Latencies of stamped messages go to h, if not nil.
func (c *Conn) Read(h *Histogram) (Counts, error) {
	n, err := c.nc.Read(c.buf[c.w:])
	c.w += n
	if err != nil {
		return Counts{}, err
	}
	var counts Counts
	for {
		more, err := c.frame(&counts, h)
		if err != nil {
			return counts, err
		}
		if !more {
			break
		}
	}
	c.compact()
	if c.w == len(c.buf) {
		return counts, errProtocol // a control line longer than the buffer
	}
	return counts, nil
}

func (c *Conn) compact() {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
	case c.r > 0:
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
}

// frame consumes one frame, or as much of a payload as is there. It reports
// whether there may be more.
func (c *Conn) frame(counts *Counts, h *Histogram) (bool, error) {
	if c.skip > 0 {
		n := min(c.skip, c.w-c.r)
		c.r += n
		if c.skip -= n; c.skip > 0 {
			return false, nil
		}
		counts.Messages++
		return true, nil
	}
	data := c.buf[c.r:c.w]
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		return false, nil
	}
	switch data[0] {
	case 'M', 'H':
		return c.message(data, end, h)
	case 'P':
		if data[1] == 'O' {
			counts.Pongs++
		} else if err := c.Write([]byte("PONG\r\n")); err != nil {
			return false, err
		}
	case 'I':
		if c.nonce == "" {
			c.nonce = nonceIn(data[:end])
		}
	case '+':
	case '-':
		return false, fmt.Errorf("%w: %s", errServer, data[:end])
	default:
		return false, errProtocol
	}
	c.r += end + 1
	return true, nil
}

// message consumes a message's control line and notes how much follows.
func (c *Conn) message(data []byte, end int, h *Histogram) (bool, error) {
	size, err := trailingNumber(data[:end])
	if err != nil {
		return false, err
	}
	if h != nil && size >= stampSize {
		payload := data[end+1:]
		if len(payload) < stampSize {
			return false, nil
		}
		if payload[0] == stampMark {
			h.RecordSince(payload[1:stampSize])
		}
	}
	if c.OnMessage != nil {
		c.OnMessage(data[:end])
	}
	c.r += end + 1
	c.skip = size + crlfSize
	return true, nil
}

// trailingNumber reads the size at the end of a control line "... 123\r".
func trailingNumber(line []byte) (int, error) {
	i := len(line) - 2
	n, unit := 0, 1
	for ; i > 0 && line[i] != ' '; i-- {
		digit := int(line[i]) - '0'
		if digit < 0 || digit > 9 || unit > 1e9 {
			return 0, errProtocol
		}
		n += digit * unit
		unit *= 10
	}
	if i <= 0 || unit == 1 {
		return 0, errProtocol
	}
	return n, nil
}
