package netsim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	chunkSize   = 16 << 10
	chunksAhead = 64 // read ahead of what is written, per direction
	dialTimeout = time.Second
)

// Link forwards the connections that it accepts to a target. Its methods may be
// called from any goroutine.
type Link struct {
	// Immutable after Listen.
	listener net.Listener
	target   string
	weather  *weather
	ctx      context.Context //nolint:containedctx // the link's own life, ended by Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu    sync.Mutex
	pairs map[*pair]struct{} // guarded by mu
}

// Listen returns a link on a free port of loopback that leads to a host:port.
// Close it.
func Listen(target string) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // does not block
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Link{
		listener: listener, target: target, weather: newWeather(), ctx: ctx, cancel: cancel,
		pairs: make(map[*pair]struct{}),
	}
	l.wg.Go(l.accept)
	return l, nil
}

// Addr is the host:port that stands for the target.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Set puts faults in force, for connections that stand as well as for new ones.
func (l *Link) Set(f Faults) { l.weather.set(f) }

// Sever resets every connection; what was under way is lost.
func (l *Link) Sever() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.reset()
	}
}

// Connections returns how many stand.
func (l *Link) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pairs)
}

// Close ends the link and its connections, and waits for its goroutines.
func (l *Link) Close() error {
	l.cancel()
	err := l.listener.Close()
	l.Sever()
	l.wg.Wait()
	return err
}

func (l *Link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		if f, _ := l.weather.now(); f.Refuse {
			reset(near)
			continue
		}
		l.wg.Go(func() { l.carry(near) })
	}
}

// carry connects to the target and forwards until either side ends.
func (l *Link) carry(near net.Conn) {
	d := net.Dialer{Timeout: dialTimeout}
	far, err := d.DialContext(l.ctx, "tcp", l.target)
	if err != nil {
		reset(near)
		return
	}
	ctx, cancel := context.WithCancel(l.ctx)
	p := &pair{near: near, far: far, cancel: cancel}
	l.mu.Lock()
	l.pairs[p] = struct{}{}
	l.mu.Unlock()
	if l.ctx.Err() != nil {
		p.reset() // closed while we dialed
	}
	var both sync.WaitGroup
	both.Go(func() { l.pump(ctx, p, far, near, func(f Faults) Path { return f.Out }) })
	both.Go(func() { l.pump(ctx, p, near, far, func(f Faults) Path { return f.Back }) })
	both.Wait()
	p.reset()
	l.mu.Lock()
	delete(l.pairs, p)
	l.mu.Unlock()
}

// chunk is what was read at a time.
type chunk struct {
	bytes []byte
	read  time.Time
}

// pump forwards one direction. Its end is the end of the pair, once what was
// read has been written: an end does not overtake the bytes before it.
func (l *Link) pump(ctx context.Context, p *pair, to, from net.Conn, path func(Faults) Path) {
	chunks := make(chan chunk, chunksAhead)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(chunks)
		for {
			b := make([]byte, chunkSize)
			n, err := from.Read(b)
			if n > 0 {
				select {
				case chunks <- chunk{b[:n], time.Now()}:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for c := range chunks {
		if l.weather.pass(ctx, path, len(c.bytes), c.read) != nil {
			break
		}
		if _, err := to.Write(c.bytes); err != nil {
			break
		}
	}
	if l.weather.pass(ctx, path, 0, time.Now()) == nil {
		p.finish()
	}
	p.reset()
	reader.Wait()
}

// pair is an accepted connection and the one to the target that belongs to it.
type pair struct {
	near, far net.Conn
	cancel    context.CancelFunc
	once      sync.Once
}

// finish ends both connections after what was written to them.
func (p *pair) finish() {
	p.once.Do(func() {
		p.cancel()
		_ = p.near.Close() // an end is all that is wanted
		_ = p.far.Close()
	})
}

// reset ends both connections at once.
func (p *pair) reset() {
	p.once.Do(func() {
		p.cancel()
		reset(p.near)
		reset(p.far)
	})
}

// reset closes a connection without waiting for what it still has to send.
func reset(c io.Closer) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // best effort: a close without it ends the connection, too
	}
	_ = c.Close()
}
