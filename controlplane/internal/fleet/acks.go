package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// ackPauseMin is the least time between two writes of the table; a store that
	// takes longer to write is given twice that time.
	ackPauseMin = 20 * time.Millisecond
	// ackWait is how long an acknowledgement waits for those of the brokers that
	// are behind it: no operation is further before they have come, so that it is
	// only for those who look at single brokers.
	ackWait = 100 * time.Millisecond
	// ackTimeout bounds one write of the table.
	ackTimeout = 5 * time.Second
)

// acks writes down what the brokers at this control plane acknowledge: one key
// for all, so that what a change costs the store does not grow with the number
// of brokers. Every entry says whose session it is of, and counts only while the
// broker's record names that session: what a session says after the broker has
// gone elsewhere is without effect, whenever it is written.
type acks struct {
	// Immutable.
	etcd   *clientv3.Client
	log    *slog.Logger
	plane  string        // names this control plane, for as long as the process runs
	signal chan struct{} // one slot: there is something to write

	// Owned by run.
	written  int64 // revision at which the table was written last
	pause    time.Duration
	lastTime time.Time // of the last write

	mu       sync.Mutex
	last     int64 // number of the latest session
	sessions map[string]*ackEntry
	lowest   int64     // what all live sessions have acknowledged in the table as it was written last
	since    time.Time // when the first acknowledgement came that is not written; zero if none is
}

// ackEntry is the latest session here of one broker.
type ackEntry struct {
	ack    // its time is zero while the session has acknowledged nothing itself
	number int64
	live   bool
}

func newAcks(etcd *clientv3.Client, log *slog.Logger) *acks {
	return &acks{
		etcd: etcd, log: log, plane: uuid.NewString(), signal: make(chan struct{}, 1),
		sessions: make(map[string]*ackEntry),
	}
}

// name returns a name for a new session.
func (a *acks) name() (string, int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last++
	return sessionName(a.plane, a.last), a.last
}

// begin says that a broker's session is written down, with what the broker has
// acknowledged already.
func (a *acks) begin(broker string, number, revision int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.sessions[broker]; e == nil || e.number < number {
		a.sessions[broker] = &ackEntry{ack: ack{revision: revision}, number: number, live: true}
		a.lowest = min(a.lowest, revision)
	}
}

// end says that the session waits for nothing more. What it acknowledged stays.
func (a *acks) end(broker string, number int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.sessions[broker]; e != nil && e.number == number {
		e.live = false
	}
	a.wake() // the others may have waited for it
}

// acknowledged takes one acknowledgement.
func (a *acks) acknowledged(broker string, number, revision int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.sessions[broker]
	if e == nil || e.number != number || revision <= e.revision {
		return
	}
	now := time.Now()
	e.ack = ack{revision, now}
	if a.since.IsZero() {
		a.since = now
	}
	a.wake()
}

func (a *acks) wake() {
	select {
	case a.signal <- struct{}{}:
	default:
	}
}

// ended returns the sessions that have ended: their names by broker.
func (a *acks) ended() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	ended := make(map[string]string)
	for broker, e := range a.sessions {
		if !e.live {
			ended[broker] = sessionName(a.plane, e.number)
		}
	}
	return ended
}

// prune forgets the session of a broker that goes by that name.
func (a *acks) prune(broker, name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.sessions[broker]; e != nil && sessionName(a.plane, e.number) == name {
		delete(a.sessions, broker)
	}
}

// run writes until ctx ends. What is not written then, brokers say again where
// they attend next.
func (a *acks) run(ctx context.Context) error {
	timer := time.NewTimer(math.MaxInt64)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.signal:
		case <-timer.C:
		}
		wait, ok := a.due(time.Now())
		if !ok {
			continue
		}
		if wait > 0 {
			timer.Reset(wait)
			continue
		}
		if err := a.write(ctx); err != nil && ctx.Err() == nil {
			a.log.LogAttrs(ctx, slog.LevelWarn, "acknowledgements not written", slog.Any("err", err))
			a.pause = ackWait
			timer.Reset(ackWait)
		}
	}
}

// due returns how long the next write can wait: until the brokers that are
// behind have come, but not too long. ok is false if there is nothing to write.
func (a *acks) due(now time.Time) (wait time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.since.IsZero() {
		return 0, false
	}
	at := a.lastTime.Add(a.pause)
	if a.least() <= a.lowest {
		at = later(at, a.since.Add(ackWait))
	}
	return max(at.Sub(now), 0), true
}

// least is what all live sessions have acknowledged, 0 if there are none; the
// caller holds mu.
func (a *acks) least() int64 {
	least := int64(math.MaxInt64)
	for _, e := range a.sessions {
		if e.live {
			least = min(least, e.revision)
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// take returns the table as it is to be written now.
func (a *acks) take() map[int64]ack {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make(map[int64]ack, len(a.sessions))
	for _, e := range a.sessions {
		if !e.at.IsZero() {
			all[e.number] = e.ack
		}
	}
	a.since, a.lowest = time.Time{}, a.least()
	return all
}

// missed has the table written again.
func (a *acks) missed() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.since.IsZero() {
		a.since = a.lastTime
	}
}

// write stores the table. It compares what it wrote last, so that an earlier
// write whose outcome was open cannot be applied after this one.
func (a *acks) write(ctx context.Context) error {
	began := time.Now()
	a.lastTime = began
	text, err := encodeTable(a.take())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	key := acksPrefix + a.plane
	for {
		done, err := a.etcd.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", a.written)).
			Then(clientv3.OpPut(key, text)).Else(clientv3.OpGet(key, clientv3.WithKeysOnly())).Commit()
		if err != nil {
			a.missed()
			return fmt.Errorf("write acknowledgements: %w", err)
		}
		if done.Succeeded {
			a.written = done.Header.GetRevision()
			break
		}
		a.written = 0
		if kvs := done.Responses[0].GetResponseRange().GetKvs(); len(kvs) == 1 {
			a.written = kvs[0].ModRevision
		}
	}
	a.pause = min(max(2*time.Since(began), ackPauseMin), ackWait) //nolint:mnd // as long again as the write took
	return nil
}
