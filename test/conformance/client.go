package conformance

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

const (
	dialTimeout = 5 * time.Second
	// waitTimeout bounds every wait for a server. It is far above what a
	// healthy server needs, so that a loaded machine changes no verdict.
	waitTimeout = 10 * time.Second
	readSize    = 64 << 10
)

// client is one raw connection of a script. It records what the server says.
type client struct {
	name string
	nc   net.Conn
	wg   sync.WaitGroup
	news chan struct{} // one slot: something arrived since the last look

	mu     sync.Mutex
	frames []frame // guarded by mu
	rest   []byte  // bytes that make no whole frame yet; guarded by mu
	gone   bool    // the server closed; guarded by mu
	// The recorder ends so that TLS can take over; guarded by mu.
	upgrading bool

	// owned by the player
	sent   []byte // all that was written
	cursor int    // frames before it were consumed by wait
	closed bool   // closed by us
}

// dial connects and starts recording. The first frame is awaited by the caller.
func dial(ctx context.Context, name, addr string) (*client, error) {
	d := net.Dialer{Timeout: dialTimeout}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", name, err)
	}
	c := &client{name: name, nc: nc, news: make(chan struct{}, 1)}
	c.wg.Go(c.read)
	return c, nil
}

func (c *client) read() {
	nc := c.nc // stays the same while the recorder runs
	buf := make([]byte, readSize)
	for {
		n, err := nc.Read(buf)
		c.record(buf[:n], err != nil)
		if err != nil {
			return
		}
	}
}

func (c *client) record(data []byte, gone bool) {
	c.mu.Lock()
	c.rest = append(c.rest, data...)
	for len(c.rest) > 0 {
		f, n, err := parseFrame(c.rest)
		if errors.Is(err, errMalformed) {
			f, n = frame{line: fmt.Sprintf("<malformed %q>", c.rest)}, len(c.rest)
		} else if err != nil {
			break
		}
		c.frames = append(c.frames, f)
		c.rest = c.rest[n:]
	}
	c.gone = c.gone || gone && !c.upgrading
	c.mu.Unlock()
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// await blocks until cond holds for what was received, or until the time is
// up, which it reports as false. cond runs with the frames locked.
func (c *client) await(ctx context.Context, cond func() bool) bool {
	deadline := time.NewTimer(waitTimeout)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		ok := cond()
		c.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-c.news:
		case <-deadline.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// awaitFirst waits for the server's first words or for its hanging up.
func (c *client) awaitFirst(ctx context.Context) bool {
	return c.await(ctx, func() bool { return len(c.frames) > 0 || c.gone })
}

// awaitGone waits until the server has closed.
func (c *client) awaitGone(ctx context.Context) bool {
	return c.await(ctx, func() bool { return c.gone })
}

// awaitLine waits for a frame that begins with prefix, after the last one
// consumed this way. A server that closes ends the wait.
func (c *client) awaitLine(ctx context.Context, prefix string) bool {
	return c.await(ctx, func() bool {
		for i := c.cursor; i < len(c.frames); i++ {
			if strings.HasPrefix(c.frames[i].line, prefix) {
				c.cursor = i + 1
				return true
			}
		}
		return c.gone
	})
}

// sync sends PING and waits for the PONG that answers it, or for the close.
func (c *client) sync(ctx context.Context) bool {
	c.mu.Lock()
	want := c.pongsLocked() + 1
	c.mu.Unlock()
	c.write([]byte("PING\r\n"))
	return c.await(ctx, func() bool { return c.gone || c.pongsLocked() >= want })
}

// lateness is how long answers may be awaited that might never come: what looks
// like a PING may have been a payload.
const lateness = 500 * time.Millisecond

// catchUp waits for the answers to PINGs that the script wrote by itself: the
// PONG that sync saw may have been one of them.
func (c *client) catchUp(ctx context.Context) {
	want := 0
	for line := range bytes.Lines(c.sent) {
		if bytes.EqualFold(bytes.TrimSpace(line), []byte("PING")) { // however a server may read it
			want++
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lateness)
	defer cancel()
	c.await(ctx, func() bool { return c.gone || c.pongsLocked() >= want })
}

func (c *client) pongsLocked() int {
	n := 0
	for i := range c.frames {
		if c.frames[i].line == "PONG" {
			n++
		}
	}
	return n
}

// upgrade speaks TLS from here on. A handshake that fails is noted in the
// record, and ends the connection.
func (c *client) upgrade(ctx context.Context, conf *tls.Config) error {
	c.mu.Lock()
	c.upgrading = true
	c.mu.Unlock()
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // releases the recorder
	c.wg.Wait()
	if err := c.nc.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("upgrade %s: %w", c.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	secure := tls.Client(c.nc, conf)
	err := secure.HandshakeContext(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.upgrading = false
	if err != nil {
		c.frames = append(c.frames, frame{line: "<no TLS handshake>"})
		c.gone = true
		return nil
	}
	c.nc = secure
	c.wg.Go(c.read)
	return nil
}

// write sends and forgets: a connection that the server has closed shows in
// what was received, not in the error of a write.
func (c *client) write(data []byte) {
	c.sent = append(c.sent, data...)
	_ = c.nc.SetWriteDeadline(time.Now().Add(waitTimeout))
	_, _ = c.nc.Write(data)
}

// hangUp says that nothing more will be sent, and waits for the server to close.
func (c *client) hangUp(ctx context.Context) bool {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the server may have closed already
	}
	return c.awaitGone(ctx)
}

// close ends the connection from our side and waits for the recorder.
func (c *client) close() {
	c.closed = true
	_ = c.nc.Close()
	c.wg.Wait()
}

// lastInfo returns the JSON text of the latest INFO.
func (c *client) lastInfo() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.frames) - 1; i >= 0; i-- {
		if text, ok := strings.CutPrefix(c.frames[i].line, "INFO "); ok {
			return text
		}
	}
	return ""
}
