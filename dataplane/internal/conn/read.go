package conn

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"syscall"
	"time"
	"unsafe"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/turn"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

const (
	readBuffer     = 64 << 10
	largeBuffer    = 256 << 10
	largeOperation = 4 << 10
	// carryMax is how much of an incomplete operation is moved out of the read
	// buffer, so that the buffer can go back to the pool while the connection
	// waits.
	carryMax = 8 << 10
)

// readable is called when the socket may have something to read. It reads and
// works until there is nothing more; false means wait for the socket.
//
// A goroutine's stack that has grown to work on a batch never becomes as small
// as a new one's, and an idle connection is little more than its stack. So once
// the client has introduced itself, and again when it has been quiet for long,
// the goroutine ends here and a new one waits.
func (c *Client) readable(fd uintptr) bool {
	if c.fresh {
		c.fresh = false
		if c.nothing(fd) {
			return false
		}
	}
	w := getWorker(c.host)
	var over bool
	if c.tls.Load() == nil {
		over = c.drain(w, fd)
	} else {
		over = c.drainSecure(w, fd)
	}
	c.endTurn(w)
	putWorker(w) // not after a panic: half a batch of this account would be in it
	if c.slowed.wait > 0 {
		return true
	}
	if !over && c.ponged && !c.moved {
		c.moved, c.moving = true, true
		return true
	}
	return over
}

// nothing reports whether there is nothing to read, without a deep stack.
func (c *Client) nothing(fd uintptr) bool {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&c.peek[0])), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
	return errno == syscall.EAGAIN
}

// briefReads is how many reads in a row are made without telling the scheduler.
// That is most of what there is to a message and its answer, and waking the
// scheduler's own thread for each costs more than they do. A client that keeps
// its reader busy for longer is read in the usual way, so that the reader may be
// preempted and others' sockets are polled beside it.
const briefReads = 2

// receive reads from a socket that does not block. Turn is how many reads came
// before it since the socket was waited for.
func receive(fd uintptr, into []byte, turn int) (int, syscall.Errno) {
	if turn < briefReads {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(into))), uintptr(len(into)))
		return int(n), errno
	}
	n, _, errno := syscall.Syscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(into))), uintptr(len(into)))
	return int(n), errno
}

func (c *Client) drain(w *worker, fd uintptr) (over bool) {
	b, used := c.open()
	if c.slowed.carry {
		c.slowed.carry = false
		b, used = c.work(w, b, used)
	}
	for turn := 0; ; turn++ {
		if c.refusal.Load() != nil {
			b.Release()
			return true
		}
		if c.slowed.wait > 0 {
			c.keep(b, used)
			return true
		}
		n, errno := receive(fd, b.B[used:], turn)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			c.keep(b, used)
			return false
		case errno != 0:
			c.end(readError)
		case n == 0:
			c.end(clientClosed)
		default:
			b, used = c.work(w, b, used+n)
		}
	}
}

// readStream does the same for connections that are not plain sockets.
func (c *Client) readStream() {
	w := getWorker(c.host)
	b, used := c.open()
	for c.refusal.Load() == nil {
		c.endTurn(w)
		n, err := c.nc.Read(b.B[used:])
		if n > 0 {
			b, used = c.work(w, b, used+n)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			c.end(clientClosed)
		default:
			c.end(readError)
		}
		for c.slowed.wait > 0 && c.refusal.Load() == nil {
			d := min(c.slowed.wait, pauseMax)
			c.slowed.wait = 0
			pause(context.Background(), d)
			b, used = c.work(w, b, used)
		}
	}
	b.Release()
	putWorker(w) // see readable
}

// open returns a buffer with what is left of the last batch.
func (c *Client) open() (*egress.Buffer, int) {
	if b := c.hold; b != nil {
		c.hold = nil
		return b, c.held
	}
	b := egress.NewBuffer(max(c.want, readBuffer))
	n := copy(b.B, c.carry)
	c.carry = nil
	return b, n
}

// keep saves the first used bytes of b until the next open.
func (c *Client) keep(b *egress.Buffer, used int) {
	switch {
	case used > carryMax:
		c.hold, c.held = b, used
		return
	case used > 0:
		c.carry = bytes.Clone(b.B[:used])
	}
	b.Release()
}

// work handles the operations in b.B[:used]. It returns the buffer to read on
// into, with the incomplete rest at its beginning.
func (c *Client) work(w *worker, b *egress.Buffer, used int) (*egress.Buffer, int) {
	c.lastIn.Store(c.host.wheel.now.Load())
	c.parser.MaxPayload = int(c.maxPayload.Load())
	w.trace = nil
	o := c.host.Options()
	c.parser.MaxControlLine = o.MaxControlLine
	if o.Trace.On {
		w.trace = &o.Trace
	}
	if !c.worked.Load() {
		c.worked.Store(true)
	}
	w.gate, w.now, w.owed = c.gate.Load(), time.Time{}, 0
	if c.identity != nil {
		c.host.attend(&c.identity.Account.Turns)
	}
	w.batch.Begin(b)
	from, r := c.operations(w, b.B[:used])
	c.finishBatch(w)
	for r == nil && w.spent >= turn.Quantum && c.slowed.wait == 0 {
		c.nextTurn(w)
		w.batch.Begin(b)
		var n int
		n, r = c.operations(w, b.B[from:used])
		from += n
		c.finishBatch(w)
	}
	if r != nil {
		c.end(r)
		return b, 0
	}
	rest := used - from
	need := max(c.parser.Need, readBuffer)
	if used == len(b.B) && rest > 0 && c.parser.Need > largeOperation {
		// Large messages fill the buffer: with a larger one more of them go in one
		// hand-over.
		need = max(need, largeBuffer)
	}
	c.want = need
	if rest == 0 && !b.Shared() {
		return b, 0
	}
	if !b.Shared() && need <= len(b.B) {
		return b, copy(b.B, b.B[from:used])
	}
	next := egress.NewBuffer(need)
	n := copy(next.B, b.B[from:used])
	b.Release()
	return next, n
}

// next parses the operation at pos. Those before it are in buf as well.
func (c *Client) next(w *worker, buf []byte, pos int) (int, error) {
	if pos > 0 {
		if n := c.parser.Again(buf[pos:]); n > 0 {
			return n, nil
		}
	}
	w.known = known{}
	return c.parser.Next(buf[pos:])
}

// operations parses and handles all complete operations in buf. It returns how
// many bytes they took, and why the connection must end, if it must.
func (c *Client) operations(w *worker, buf []byte) (int, *account.Refusal) {
	pos := 0
	for pos < len(buf) {
		if c.identity == nil && buf[pos] != 'C' && buf[pos] != 'c' {
			if r := c.unannounced(); r != nil {
				return pos, r
			}
		}
		n, err := c.next(w, buf, pos)
		if err != nil {
			return pos, c.malformed(w, err)
		}
		if c.parser.Op.Kind == wire.None {
			pos += n
			break
		}
		if w.gate != nil {
			ok, r := c.within(w, &c.parser.Op)
			if r != nil || c.slowed.wait > 0 {
				return pos, r
			}
			if !ok {
				pos += n
				continue
			}
		}
		pos += n
		if w.trace != nil {
			c.traceIn(w.trace, &c.parser.Op)
		}
		if r := c.operate(w, &c.parser.Op); r != nil {
			return pos, r
		}
		if c.enough(w) {
			return pos, nil
		}
	}
	return pos, nil
}

// unannounced handles a first operation other than CONNECT: it is for those who
// are somebody without showing anything.
func (c *Client) unannounced() *account.Refusal {
	if !c.host.Auth.Greeting().Anonymous {
		return account.Violation("the first operation was not CONNECT")
	}
	c.greeted = true
	return c.authenticate(nil)
}

// malformed says why what the parser could not read ends the connection.
func (c *Client) malformed(w *worker, err error) *account.Refusal {
	if errors.Is(err, wire.ErrUnended) {
		c.pedantic(w, &c.parser.Op)
	}
	return refusalOf(err)
}

func refusalOf(err error) *account.Refusal {
	switch {
	case errors.Is(err, wire.ErrMaxControlLine):
		return controlLine
	case errors.Is(err, wire.ErrMaxPayload):
		return payload
	case errors.Is(err, wire.ErrArguments):
		return badArguments
	case errors.Is(err, wire.ErrNoHeaders):
		return headersOff
	}
	return unknownOperation
}

// finishBatch accounts for what was published, hands the deliveries over, and
// waits a little for destinations that cannot keep up.
func (c *Client) finishBatch(w *worker) {
	if w.messages > 0 {
		c.identity.Account.Usage.Published(w.messages, w.bytes)
		c.inMsgs.Add(w.messages)
		c.inBytes.Add(w.bytes)
		w.messages, w.bytes = 0, 0
	}
	c.complainRefused(w)
	w.batch.Flush(c.out)
	if c.told != nil {
		c.hearNews()
	}
	if w.batch.Stalls() {
		c.endTurn(w)
	}
	w.batch.Stall()
}

// operate handles one operation.
func (c *Client) operate(w *worker, op *wire.Op) *account.Refusal {
	switch op.Kind {
	case wire.Pub, wire.HPub:
		return c.publish(w, op)
	case wire.Sub:
		return c.subscribe(w, op.Arg)
	case wire.Unsub:
		return c.unsubscribe(w, op.Arg)
	case wire.Ping:
		c.ping(w)
	case wire.Pong:
		c.pong()
	case wire.Connect:
		return c.processConnect(w, op.Arg)
	case wire.Err:
		return clientErr
	case wire.Info:
		// It means nothing, but has to be one.
		if json.Unmarshal(op.Arg, new(Info)) != nil {
			return badInfo
		}
	case wire.OK, wire.None:
	default: // of routes, which the parser of clients does not know
	}
	return nil
}

// ping answers a PING, the first one with a second INFO behind the answer.
func (c *Client) ping(w *worker) {
	c.complainRefused(w)
	w.batch.Control(c.out, wire.PongLine)
	c.traceOut("PONG")
	if !c.greeted || c.ponged {
		return
	}
	c.ponged = true
	if c.connect.Protocol >= 1 {
		c.told = &told{c.host.cluster.Load(), c.host.lame.Load()}
		w.batch.Control(c.out, string(c.connectInfo()))
	}
}

// told is what of the broker's state a client was told with its first PONG.
type told struct {
	cluster *Cluster
	lame    bool
}

// hearNews lets the client be told of changes from now on, its first PONG being
// on its way: before that, clients take INFO for an error. What changed since
// that PONG was made is told now.
func (c *Client) hearNews() {
	was := c.told
	c.told = nil
	c.asyncInfo.Store(true)
	if was.cluster != c.host.cluster.Load() || was.lame != c.host.lame.Load() {
		c.announce()
	}
}

// ok answers an operation in verbose mode.
func (c *Client) ok(w *worker) {
	if c.connect.Verbose {
		w.batch.Control(c.out, wire.OKLine)
		c.traceOut("OK")
	}
}

// complain tells the client of an error that does not end the connection.
func (c *Client) complain(w *worker, text string) {
	w.batch.Control(c.out, wire.ErrLine(text))
	c.traceOut("-ERR " + text)
}
