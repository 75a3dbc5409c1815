package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const (
	// contactInterval is how often the last contact is written down.
	contactInterval = time.Minute
	// serveSlack is added to what is written down as the end of the broker's
	// grace. It covers contactInterval and the time in which a broker may not have
	// noticed that its connection is dead, so that the broker, which counts from
	// its own last contact, stops serving before we say that it has.
	serveSlack = 2 * contactInterval
)

// keeper keeps one session's lease and the broker's record.
type keeper struct {
	// Immutable.
	etcd    *clientv3.Client
	ttl     time.Duration
	grace   time.Duration
	broker  string
	acks    *acks
	number  int64  // of the session in acks
	session string // the lease key's value: who may write the record
	log     *slog.Logger
	signal  chan struct{} // one slot: something to write or renew

	// Owned by the handler: set in begin, then read only.
	lease clientv3.LeaseID

	mu      sync.Mutex
	record  Broker
	dirty   bool  // the record has news worth a write
	beat    bool  // the lease is to be renewed
	begun   int64 // revision at which the lease became ours; 0 before
	foreign int64 // revision at which it was seen to be another's, or nobody's
}

// begin takes the broker's lease and record over. The acknowledgements of an
// earlier incarnation do not count for this one. It returns whether the broker
// is to drain.
func (k *keeper) begin(ctx context.Context, hello *fleetv1.Hello) (draining bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, k.ttl)
	defer cancel()
	record, known, err := readBroker(ctx, k.etcd, k.broker)
	if err != nil {
		return false, k.refuse(ctx, err)
	}
	if !known {
		return false, errBrokerUnknown
	}
	if record.Revoked {
		return false, errRevoked
	}
	if record.IncarnationID != hello.GetIncarnationId() {
		record.AckedRevision, record.AckTime = 0, time.Time{}
	}
	record.Authorities = idsOf(hello.GetAuthorities())
	record.ServerName, record.Version = hello.GetServerName(), hello.GetVersion()
	record.IncarnationID, record.Exited = hello.GetIncarnationId(), false
	record.Session = k.session
	k.touch(&record)
	lease, err := k.etcd.Grant(ctx, int64(k.ttl/time.Second))
	if err != nil {
		return false, k.refuse(ctx, err)
	}
	put, err := record.put()
	if err != nil {
		return false, k.refuse(ctx, err)
	}
	done, err := k.etcd.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(brokerPrefix+k.broker), "=", record.modRevision)).
		Then(put, clientv3.OpPut(leasePrefix+k.broker, k.session, clientv3.WithLease(lease.ID))).Commit()
	if err != nil {
		return false, k.refuse(ctx, err)
	}
	if !done.Succeeded {
		return false, errLeaseLost // written meanwhile by another session: try again
	}
	k.lease = lease.ID
	k.mu.Lock()
	k.record, k.begun = record, done.Header.GetRevision()
	overtaken := k.foreign > k.begun
	k.mu.Unlock()
	if overtaken {
		return false, errLeaseLost
	}
	k.acks.begin(k.broker, k.number, record.AckedRevision)
	return record.Draining, nil
}

// leased tells what the lease key says since revision. It reports false if the
// session has lost it.
func (k *keeper) leased(session string, revision int64) bool {
	if session == k.session {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.foreign = max(k.foreign, revision)
	return k.begun == 0 || k.foreign < k.begun
}

// refuse is only used before keep runs; the broker tries again.
func (k *keeper) refuse(ctx context.Context, err error) error {
	k.log.LogAttrs(ctx, slog.LevelWarn, "session not begun", slog.Any("err", err))
	return errLeaseLost
}

func (k *keeper) touch(b *Broker) {
	b.LastContact = time.Now().UTC()
	b.ServeUntil = b.LastContact.Add(k.grace + serveSlack)
}

// keep renews and writes when told to, until ctx ends or the lease is lost.
func (k *keeper) keep(ctx context.Context) error {
	renewed := time.Now()
	pause := time.NewTicker(k.ttl / 4)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.signal:
		case <-pause.C: // tries again what failed, and finds a silent broker
		}
		if k.takeBeat() {
			switch err := k.renew(ctx); {
			case err == nil:
				renewed = time.Now()
			case errors.Is(err, rpctypes.ErrLeaseNotFound):
				return errLeaseLost
			case ctx.Err() == nil:
				k.log.LogAttrs(ctx, slog.LevelWarn, "lease not renewed", slog.Any("err", err))
			}
		}
		if time.Since(renewed) > k.ttl {
			return errLeaseLost
		}
		if err := k.write(ctx); err != nil {
			return err
		}
	}
}

func (k *keeper) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.ttl/2)
	defer cancel()
	if _, err := k.etcd.KeepAliveOnce(ctx, k.lease); err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	return nil
}

// write stores the record if it has news.
func (k *keeper) write(ctx context.Context) error {
	if !k.hasNews() {
		return nil
	}
	ok, err := k.store(ctx, k.snapshot())
	switch {
	case err != nil && ctx.Err() == nil:
		k.log.LogAttrs(ctx, slog.LevelWarn, "broker record not written", slog.Any("err", err))
		k.mark()
	case err == nil && !ok:
		return errLeaseLost
	}
	return nil
}

// store writes the record if the lease still names this session.
func (k *keeper) store(ctx context.Context, record Broker, more ...clientv3.Op) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, k.ttl/2)
	defer cancel()
	put, err := record.put()
	if err != nil {
		return false, err
	}
	done, err := k.etcd.Txn(ctx).
		If(clientv3.Compare(clientv3.Value(leasePrefix+k.broker), "=", k.session)).
		Then(append(more, put)...).Commit()
	if err != nil {
		return false, fmt.Errorf("store broker: %w", err)
	}
	return done.Succeeded, nil
}

// exit writes down that the broker serves nobody any more.
func (k *keeper) exit(ctx context.Context) error {
	record := k.snapshot()
	record.Exited = true
	ok, err := k.store(ctx, record, clientv3.OpDelete(leasePrefix+k.broker))
	if err != nil || !ok {
		return k.refuse(ctx, fmt.Errorf("goodbye not written: %w", errors.Join(err, errLeaseLost)))
	}
	ctx, cancel := context.WithTimeout(ctx, k.ttl/2)
	defer cancel()
	if _, err := k.etcd.Revoke(ctx, k.lease); err != nil {
		k.log.LogAttrs(ctx, slog.LevelDebug, "lease not revoked, it lapses", slog.Any("err", err))
	}
	return nil
}

func (k *keeper) acknowledged(revision int64) {
	k.mu.Lock()
	if revision > k.record.AckedRevision {
		k.record.AckedRevision, k.record.AckTime = revision, time.Now().UTC()
	}
	k.mu.Unlock()
	k.acks.acknowledged(k.broker, k.number, revision)
}

func (k *keeper) heartbeat(h *fleetv1.Heartbeat) {
	k.mu.Lock()
	k.beat = true
	k.record.Connections, k.record.Accounts = h.GetConnections(), h.GetAccounts()
	if known := idsOf(h.GetAuthorities()); !slices.Equal(known, k.record.Authorities) {
		k.record.Authorities, k.dirty = known, true
	}
	if time.Since(k.record.LastContact) >= contactInterval {
		k.dirty = true
	}
	k.mu.Unlock()
	k.wake()
}

func (k *keeper) wake() {
	select {
	case k.signal <- struct{}{}:
	default:
	}
}

func (k *keeper) takeBeat() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	beat := k.beat
	k.beat = false
	return beat
}

func (k *keeper) hasNews() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dirty
}

func (k *keeper) mark() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dirty = true
}

// snapshot returns the record as it is to be written now.
func (k *keeper) snapshot() Broker {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.touch(&k.record)
	k.dirty = false
	return k.record
}
