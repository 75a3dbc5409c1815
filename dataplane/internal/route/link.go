package route

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/permission"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// ending is why a link ends. Text goes to the peer as -ERR.
type ending struct {
	text  string
	why   string
	quiet bool // nothing that anybody has to look after
}

// The endings.
//
//nolint:gochecknoglobals // a table of constants
var (
	shutdown      = &ending{why: "the broker is shutting down", quiet: true}
	peerClosed    = &ending{why: "the peer closed the connection"}
	readFailed    = &ending{why: "reading failed"}
	writeFailed   = &ending{why: "writing failed"}
	slowPeer      = &ending{why: "the peer reads too slowly"}
	timedOut      = &ending{text: "Authentication Timeout", why: "no handshake in time"}
	staleLink     = &ending{text: "Stale Connection", why: "PINGs were not answered"}
	unauthorized  = &ending{text: "Authorization Violation", why: "wrong user or password"}
	wrongPort     = &ending{text: "attempted to connect to route port", why: "a client connected to the route port"}
	badOperation  = &ending{text: "Unknown Protocol Operation", why: "unknown protocol operation"}
	badLine       = &ending{text: "Protocol Violation", why: "a line had the wrong arguments"}
	leafInterest  = &ending{text: "leaf node interest is not supported", why: "the peer sent leaf node interest, which was not advertised"}
	notYet        = &ending{text: "Authorization Violation", why: "the peer sent something before CONNECT and INFO"}
	toSelf        = &ending{why: "the route leads to this broker itself", quiet: true}
	duplicate     = &ending{why: "there is a route to that peer already", quiet: true}
	nameConflict  = &ending{why: "the peer belongs to a cluster of another name"}
	sameName      = &ending{text: "Duplicate Server Name", why: "the peer has the server name of this broker"}
	tlsRequired   = &ending{why: "the peer requires TLS on routes, and this broker has none in its configuration"}
	reloaded      = &ending{why: "the configuration of the cluster changed", quiet: true}
	noPool        = &ending{why: "the peer has no pool of routes", quiet: true}
	badPoolIndex  = &ending{text: "Invalid route pool index", why: "the peer sent an impossible pool index"}
	faulted       = &ending{why: "a fault of ours"}
	peerErr       = &ending{why: "the peer sent an error"}
	noDedicated   = &ending{text: "Not possible to have a dedicated route for account between those servers", why: "the peer asked for a dedicated route without a pool"}
	badHandshake  = &ending{text: "Protocol Violation", why: "CONNECT or INFO was not valid JSON"}
	accountReload = &ending{text: "dedicated routes cannot be added at run time", why: "the peer moves an account to a dedicated route at run time, which is not supported"}
)

// link is one connection to another broker.
type link struct {
	// Immutable.
	mesh   *Mesh
	nc     net.Conn
	out    *egress.Conn
	id     uint64
	start  time.Time
	target *target // nil for an accepted connection
	config *Config // in force when the link was made

	// Immutable once registered, and owned by the reader until then.
	remote info // what the peer said of itself
	slot   slot
	pooled bool   // there are several connections to that peer
	pool   int    // over how many of them accounts spread
	gossip int    // how the peer was told to us
	user   string // that the peer of an accepted connection showed
	pass   Secret

	// Owned by the reader.
	parser     wire.RouteParser
	in         *conn.Inbound
	arrivals   map[string]*arrival
	reading    *egress.Buffer  // what is in hand
	frame      []byte          // of the operation in hand
	batch      uint64          // how many were read
	latest     *arrival        // whose message came last
	mixed      uint64          // up to that batch several accounts use the link
	long       bool            // the batch in hand is; see Inbound.Long
	thread     int             // gives way meanwhile; 0 for none
	source     io.Reader       // of what the peer sends, as it meant it
	exports    json.RawMessage // what the peer lets out, as it said
	secured    bool            // behind TLS
	negotiated bool            // how to compress
	inflate    bool            // what follows is compressed
	auto       bool            // how hard to compress goes by the distance
	connected  bool            // CONNECT was received, on an accepted connection
	known      bool            // the peer's first INFO was received
	registered bool
	messages   uint64 // of the batch in hand
	bytes      uint64
	met        []*arrival // the accounts in it

	// Read and written by anyone.
	ended       atomic.Pointer[ending]
	allowed     atomic.Pointer[permission.Set] // what may cross it; nil for all
	says        atomic.Pointer[info]           // what the peer said of itself last, if more than once
	stands      atomic.Bool                    // registered, for others than the reader
	upgraded    atomic.Bool                    // accepted, but the peer is in our configuration
	compression atomic.Pointer[string]         // what was agreed on
	lastIn      atomic.Int64
	rtt         atomic.Int64
	pingSent    atomic.Int64
	pingsOut    atomic.Int32
	inMsgs      atomic.Uint64
	inBytes     atomic.Uint64
	wantCount   atomic.Int64  // subscriptions of the peer
	over        chan struct{} // closed when it is to end
	done        chan struct{} // closed when it is over

	workers sync.WaitGroup // who works backlogs off
}

// newLink makes a link of a connection: accepted if there is no target.
func (m *Mesh) newLink(nc net.Conn, t *target, s slot) *link {
	l := &link{
		mesh: m, nc: nc, target: t, slot: s, start: time.Now(), in: m.host.NewInbound(), config: m.config(), source: nc,
		arrivals: make(map[string]*arrival), done: make(chan struct{}), over: make(chan struct{}),
	}
	if t != nil {
		l.gossip = t.gossip
	}
	l.allowed.Store(l.config.allowed)
	l.out = egress.New(nc, &m.host.Slots, &egress.Limits{MaxPending: maxPending, MaxLane: maxLane, WriteDeadline: l.config.WriteDeadline, Patient: !l.config.Hasty}, l.failed)
	l.out.Owner = l
	l.out.Overflow = l.overflow
	l.out.Flags.Store(egress.Routed)
	l.parser.MaxControlLine = maxControlLine
	l.parser.MaxPayload = -1
	l.parser.Dedicated = s.account != ""
	m.mu.Lock()
	m.nextID++
	l.id = m.nextID
	m.links[l] = true
	if l.config != m.config() {
		l.end(reloaded)
	}
	m.counted[l] = true
	m.mu.Unlock()
	return l
}

func (l *link) solicited() bool { return l.target != nil }

// explicit says whether the peer is in our configuration.
func (l *link) explicit() bool {
	return l.target != nil && l.target.explicit || l.upgraded.Load()
}

// end ends the link for a reason; the first one stays. It does not block.
func (l *link) end(e *ending) {
	if l.ended.CompareAndSwap(nil, e) {
		l.out.Flags.Or(egress.Closed)
		close(l.over)
		_ = l.nc.SetReadDeadline(time.Unix(1, 0)) // fails only if the connection is closed
	}
}

// overflow is told that an account has more on its way to the peer than it may.
func (l *link) overflow(account string) {
	l.config.Log.Warn("what an account sends to a peer is more than the peer takes; the rest is dropped", "account", account,
		"rid", l.id, "peer", l.remote.ID, "bound", maxLane)
}

func (l *link) failed(r egress.Reason) {
	if r == egress.WriteError {
		l.end(writeFailed)
		return
	}
	l.end(slowPeer)
}

// run serves the link from its first byte to its last.
func (l *link) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { l.end(shutdown) })
	defer stop()
	defer l.close()
	defer l.recover()
	if e := l.encrypt(); e != nil {
		l.end(e)
		return
	}
	l.restrict()
	l.deadline(time.Now().Add(l.config.AuthTimeout))
	if !l.solicited() {
		l.greet()
	}
	l.read()
}

// deadline bounds the next read. It never undoes an end.
func (l *link) deadline(at time.Time) {
	_ = l.nc.SetReadDeadline(at) // fails only if the connection is closed
	if l.ended.Load() != nil {
		_ = l.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

func (l *link) recover() {
	if p := recover(); p != nil {
		l.end(faulted)
		l.config.Log.Error("route ended by a fault", "rid", l.id, "panic", p, "stack", string(debug.Stack()))
	}
}

const (
	readBuffer = 64 << 10
	lastWords  = time.Second
)

func (l *link) read() {
	b, used := egress.NewBuffer(readBuffer), 0
	for l.ended.Load() == nil {
		n, err := l.source.Read(b.B[used:])
		if n > 0 {
			b, used = l.work(b, used+n)
		}
		var ne net.Error
		switch {
		case err == nil:
		case errors.As(err, &ne) && ne.Timeout():
			l.end(timedOut)
		case errors.Is(err, net.ErrClosed):
			l.end(readFailed)
		default:
			l.end(peerClosed)
		}
	}
	b.Release()
}

// work handles the operations in b.B[:used]. It returns the buffer to read on
// into, with the incomplete rest at its beginning.
func (l *link) work(b *egress.Buffer, used int) (*egress.Buffer, int) {
	l.lastIn.Store(time.Now().UnixNano())
	l.in.Begin(b)
	l.reading = b
	l.batch++
	pos := 0
	for pos < used && l.ended.Load() == nil {
		n, err := l.parser.Next(b.B[pos:used])
		l.frame = b.B[pos : pos+n]
		pos += n
		if err != nil {
			l.end(endingOf(err))
			break
		}
		if l.parser.Op.Kind == wire.None {
			break
		}
		if e := l.operate(); e != nil {
			l.end(e)
		}
		if l.inflate {
			l.decompress(b.B[pos:used])
			pos = used
		}
	}
	l.in.Flush()
	l.endLong()
	l.count()
	need := max(l.parser.Need, readBuffer)
	if !b.Shared() && need <= len(b.B) {
		return b, copy(b.B, b.B[pos:used])
	}
	next := egress.NewBuffer(need)
	n := copy(next.B, b.B[pos:used])
	b.Release()
	return next, n
}

func endingOf(err error) *ending {
	if errors.Is(err, wire.ErrArguments) {
		return badLine
	}
	return badOperation
}

// close takes the link out of everything it is in.
func (l *link) close() {
	l.out.Flags.Or(egress.Closed)
	e := l.ended.Load()
	if e.text != "" {
		l.out.Control([]byte(wire.ErrLine(e.text)))
	}
	if e.text != "" || e == shutdown {
		l.out.Finish(lastWords)
	}
	l.mesh.remove(l)
	l.out.Close()
	l.workers.Wait()
	l.mesh.retire(l, e)
	l.in.Release()
	level := slog.LevelWarn
	if e.quiet {
		level = slog.LevelDebug
	}
	l.config.Log.Log(context.Background(), level, "route ended", "rid", l.id, "peer", l.remote.ID, "name", l.remote.Name,
		"addr", l.nc.RemoteAddr().String(), "pool_index", l.slot.index, "account", l.slot.account, "why", e.why)
	close(l.done)
}
