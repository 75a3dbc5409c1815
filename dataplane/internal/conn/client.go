package conn

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/limit"
	"github.com/coveymq/covey/dataplane/internal/permission"
	"github.com/coveymq/covey/dataplane/internal/secure"
	"github.com/coveymq/covey/dataplane/internal/turn"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// Client is one client connection.
type Client struct {
	// Immutable after Serve has registered it.
	host   *Host
	nc     net.Conn
	out    *egress.Conn
	id     uint64
	start  time.Time
	remote netip.AddrPort
	socket syscall.Conn                   // nc, if it is a plain socket
	tls    atomic.Pointer[secure.Conn]    // nil in clear; set by the reader, once
	behind atomic.Pointer[netip.AddrPort] // where the client is, if a load balancer said so; set by the reader, once
	waited time.Duration                  // until the client could say who it is

	// Owned by the reader.
	parser   wire.Parser
	carry    []byte         // the beginning of an operation, between two waits
	hold     *egress.Buffer // the same when it is long
	held     int            // how much of hold is in use
	want     int            // the size of buffer that the last batch needed
	connect  auth.Connect
	nonce    string
	intent   Intent
	ponged   bool  // the first PONG was sent
	told     *told // until that PONG is on its way, and only if the client understands a second INFO
	greeted  bool  // CONNECT was received
	vacated  bool  // the place in the account was given up, at the end
	moved    bool  // the goroutine that authenticated was replaced
	moving   bool  // the goroutine is about to be replaced
	fresh    bool  // the goroutine has not read yet
	peek     [1]byte
	identity *account.Identity
	slowed   throttle
	turn     *turn.Share // whose turn the reader has; nil if it has none
	thread   int         // the one that gives way to others while the reader works; 0 for none

	// Read and written by anyone.
	shown      atomic.Pointer[shown] // who the client is, for others than the reader; nil before that is known
	perms      atomic.Pointer[permission.Set]
	gate       atomic.Pointer[limit.Gate]      // nil if no rate is limited
	asked      atomic.Pointer[asked]           // nil if no request of the client was ever measured
	owing      atomic.Pointer[owing]           // nil if the client never got a request that another broker measures
	paused     atomic.Bool                     // no goroutine reads: a timer will start one
	refusal    atomic.Pointer[account.Refusal] // why the connection ends; set once
	admitted   atomic.Bool
	asyncInfo  atomic.Bool  // the client understands a second INFO
	worked     atomic.Bool  // the reader's goroutine has worked on a batch
	shrink     atomic.Bool  // the reader's goroutine shall be replaced: it idles
	lastIn     atomic.Int64 // tick of the wheel at the last read
	expires    atomic.Int64 // Unix second; 0 for never
	maxPayload atomic.Int64 // bytes of one message; the parser hears of it with the next batch
	nextPing   atomic.Int64 // Unix nanosecond
	pingSent   atomic.Int64 // Unix nanosecond; 0 when no PING is out
	rtt        atomic.Int64 // nanoseconds; 0 when not known
	greeting   atomic.Int64 // nanoseconds from the connection's start to CONNECT
	pingsOut   atomic.Int32
	inMsgs     atomic.Uint64
	inBytes    atomic.Uint64

	// Guarded by the host's mutex.
	index   int // in its list
	listed  bool
	lingers bool

	// Guarded by the wheel's mutex.
	timer timer
	gone  bool

	denied denied // what permissions refused since it was told

	seat account.Seat // guarded by the mutex of the account

	mu      sync.Mutex                 // held also while it changes who the client is: shown, perms
	subs    *subset                    // guarded by mu, as is all below
	home    *account.Account           // where subs are; nil before the first
	shadows map[*interest.Sub][]shadow // of those who hear imported streams; nil if none does
	replies map[string]*allowance
}

// shown is what others may know of a client. Immutable.
type shown struct {
	identity            *account.Identity
	name, lang, version string          // what the client says of itself
	before              account.Traffic // what went through the connection before this
}

// serve runs a connection from its first byte on. Its last byte may come in
// another goroutine; see leave. It closes nc.
func (h *Host) serve(nc net.Conn) {
	c := &Client{host: h, nc: nc, start: time.Now(), timer: timer{bucket: -1}}
	c.lastIn.Store(h.wheel.now.Load())
	c.remote = addrPort(nc.RemoteAddr())
	c.socket, _ = nc.(syscall.Conn)
	o := h.Options()
	c.out = egress.New(nc, &h.Slots, &o.Egress, c.writeFailed)
	c.out.Owner = c
	c.traceFlag()
	c.connect = auth.DefaultConnect()
	c.parser.NoHeaders = true
	c.maxPayload.Store(int64(o.MaxPayload))
	defer c.leave()
	if r := c.greet(o, h.add(c)); r != nil {
		c.end(r)
		return
	}
	if !h.Auth.Required() {
		if r := c.authenticate(nil); r != nil {
			c.end(r)
			return
		}
	}
	h.wheel.schedule(c, min(o.AuthTimeout, firstPing))
	c.read()
}

func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}

// read parses what comes until the connection ends.
func (c *Client) read() {
	if c.socket == nil {
		c.readStream()
		return
	}
	raw, err := c.socket.SyscallConn()
	if err != nil {
		c.end(readError)
		return
	}
	err = raw.Read(c.readable)
	if err != nil && c.shrink.Swap(false) {
		c.moving = c.nc.SetReadDeadline(time.Time{}) == nil
	}
	if err != nil && !c.moving {
		c.end(readError) // keeps an earlier reason, such as the one of Disconnect
	}
}

// end notes why the connection ends. The first reason stays.
func (c *Client) end(r *account.Refusal) { c.refusal.CompareAndSwap(nil, r) }

// Disconnect ends the connection: from now on nothing is delivered to it, and
// its reader, woken, says goodbye.
func (c *Client) Disconnect(r *account.Refusal) {
	c.end(r)
	c.out.Flags.Or(egress.Closed)
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // fails only if the connection is closed
	c.rouse()
}

func (c *Client) writeFailed(r egress.Reason) {
	switch r {
	case egress.SlowConsumerPending:
		c.countSlow()
		c.Disconnect(slowPending)
	case egress.SlowConsumerDeadline:
		c.countSlow()
		c.Disconnect(slowDeadline)
	case egress.SlowConsumerBudget:
		c.countSlow()
		c.Disconnect(slowBudget)
	case egress.WriteError:
		c.Disconnect(writeError)
	}
}

func (c *Client) countSlow() {
	c.host.Totals.SlowConsumers.Add(1)
	if who := c.shown.Load(); who != nil {
		who.identity.Account.SlowConsumers.Add(1)
	}
}

// leave is how a reader's goroutine ends: the connection goes on in a new one,
// whose stack has not grown, at once or after a while, or it is over. A fault ends only the connection.
func (c *Client) leave() {
	if p := recover(); p != nil {
		c.end(recovered)
		c.endTurn(nil)
		c.host.Log.Error("connection ended by a fault", "conn", c.id, "panic", p, "stack", string(debug.Stack()))
	}
	if c.refusal.Load() == nil {
		switch {
		case c.slowed.wait > 0:
			c.rest()
			return
		case c.moving:
			c.moving, c.fresh = false, true
			c.worked.Store(false)
			c.host.wg.Go(c.resume)
			return
		}
	}
	c.close()
}

// resume reads on where another goroutine stopped.
func (c *Client) resume() {
	defer c.leave()
	c.read()
}

// Times that the end of a connection may take.
const (
	lastWords  = time.Second // to write what is queued
	lingerTime = time.Second // to let the client read it before the socket is reset
)

// close takes the connection out of everything it is in.
func (c *Client) close() {
	c.out.Flags.Or(egress.Closed)
	c.host.wheel.forget(c)
	ended := c.obituary()
	c.dropSubscriptions()
	c.forsake(true)
	if c.farewell() {
		c.vacate()
		c.host.lingers(c)
		c.linger()
	}
	c.out.CloseNotify()
	c.out.Close()
	c.vacate()
	c.host.remove(c)
	c.bury(ended)
	c.mourn(ended)
	if c.intent != nil {
		c.intent.Release()
	}
	if c.hold != nil {
		c.hold.Release()
	}
	c.logEnd()
}

// vacate gives up the place in the account, once. Nothing may be delivered after
// it: the last byte is counted.
func (c *Client) vacate() {
	if c.vacated || !c.admitted.Load() {
		return
	}
	c.vacated = true
	if c.host.Refusals != nil {
		c.denied.tell(c.host.Refusals, c.identity, time.Now())
	}
	c.host.noteSeen(c.identity, time.Now())
	c.identity.Account.Leave(c)
}

// farewell tells the client why. True says that all of it is written and that
// the client should be given time to read it.
func (c *Client) farewell() bool {
	r := c.refusal.Load()
	switch r {
	case nil, clientClosed, readError, writeError, slowPending, slowDeadline, slowBudget:
		return false
	}
	_ = c.nc.SetReadDeadline(time.Time{}) // fails only if the connection is closed
	if r.Text != "" {
		c.out.Control([]byte(wire.ErrLine(r.Text)))
		c.traceOut("-ERR " + r.Text)
	}
	c.out.Finish(lastWords)
	c.out.CloseNotify()
	half, ok := c.nc.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil && c.out.Pending() == 0
}

// linger reads what the client still sends: closing a socket with unread input
// would throw away what was written last.
func (c *Client) linger() {
	if c.nc.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	b := egress.NewBuffer(1)
	defer b.Release()
	for {
		if _, err := c.nc.Read(b.B); err != nil {
			return
		}
	}
}

// logEnd says who left and why. Refusals are warnings: a human may have to act.
func (c *Client) logEnd() {
	r := c.refusal.Load()
	if r == nil {
		r = clientClosed
	}
	level := slog.LevelDebug
	switch r {
	case clientClosed, readError, writeError, serverShutdown:
	default:
		level = slog.LevelWarn
	}
	ctx := context.Background()
	if !c.host.Log.Enabled(ctx, level) {
		return
	}
	attrs := []any{"conn", c.id, "addr", c.addr().String(), "reason", r.Reason, "why", r.Log}
	if c.identity != nil {
		attrs = append(attrs, "account", c.identity.Account.Key, "user", c.identity.User)
	}
	if c.connect.Name != "" {
		attrs = append(attrs, "name", c.connect.Name)
	}
	c.host.Log.Log(ctx, level, "connection ended", attrs...)
}
