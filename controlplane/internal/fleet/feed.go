package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/internal/lifecycle"
)

// rememberedMax bounds the claims kept for lookups: a fleet that comes back asks
// for the same accounts within seconds.
const rememberedMax = 4096

var errWatchEnded = errors.New("watch ended")

// feed is the one watch over all claims. It knows which session holds which
// account and puts every change into the queues of the holders.
type feed struct {
	etcd *clientv3.Client
	log  *slog.Logger
	// leased is told whose session a broker's lease names; "" if it is gone.
	leased func(broker, session string, revision int64)

	mu        sync.Mutex
	revision  int64                                                   // everything up to it has been put into the queues
	operator  claims                                                  // the operator's JWT
	orders    map[string]order                                        // by broker
	authority func(ctx context.Context, value []byte, revision int64) // hears of the CAs; set before run
	queues    map[*queue]struct{}
	holders   map[string]map[*queue]struct{}
	// remembered holds claims as they are at revision; a change removes them.
	remembered map[string]remembered
}

type remembered struct {
	claims
	readAt int64 // revision of the store when they were read
}

func newFeed(etcd *clientv3.Client, log *slog.Logger) *feed {
	return &feed{
		etcd: etcd, log: log,
		queues:     make(map[*queue]struct{}),
		holders:    make(map[string]map[*queue]struct{}),
		remembered: make(map[string]remembered),
	}
}

// run follows the store until ctx ends. The etcd client resumes a broken watch
// by itself; when it cannot, because history is compacted, everything that
// brokers hold is read again.
func (f *feed) run(ctx context.Context) error {
	backoff := lifecycle.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second}
	for {
		began := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.log.LogAttrs(ctx, slog.LevelWarn, "claims watch interrupted", slog.Any("err", err))
		if time.Since(began) > backoff.Max {
			backoff.Reset()
		}
		if err := backoff.Wait(ctx); err != nil {
			return err
		}
	}
}

// look reads what is followed as it is now, and returns the revision of that.
func (f *feed) look(ctx context.Context) (int64, error) {
	got, err := f.etcd.Txn(ctx).Then(clientv3.OpGet(operatorKey), clientv3.OpGet(orderPrefix, clientv3.WithPrefix()),
		clientv3.OpGet(leasePrefix, clientv3.WithPrefix()), clientv3.OpGet(caKey)).Commit()
	if err != nil {
		return 0, fmt.Errorf("read operator: %w", err)
	}
	var operator claims
	if kvs := got.Responses[0].GetResponseRange().Kvs; len(kvs) == 1 {
		operator = claims{jwt: string(kvs[0].Value), revision: kvs[0].ModRevision}
	}
	orders, err := ordersOf(got.Responses[1].GetResponseRange().Kvs)
	if err != nil {
		return 0, err
	}
	from := got.Header.GetRevision()
	f.restart(from, operator, orders)
	for _, kv := range got.Responses[2].GetResponseRange().Kvs {
		f.leased(string(kv.Key[len(leasePrefix):]), string(kv.Value), kv.ModRevision)
	}
	for _, kv := range got.Responses[3].GetResponseRange().Kvs {
		f.authority(ctx, kv.Value, kv.ModRevision)
	}
	return from, nil
}

// applyAuthority takes the fleet's authorities as they are now.
func (f *feed) applyAuthority(ctx context.Context, resp clientv3.WatchResponse) {
	for _, e := range resp.Events {
		f.authority(ctx, e.Kv.Value, e.Kv.ModRevision)
	}
}

func (f *feed) follow(ctx context.Context) error {
	from, err := f.look(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	changes := f.etcd.Watch(ctx, claimsPrefix, clientv3.WithPrefix(), clientv3.WithRev(from+1))
	operators := f.etcd.Watch(ctx, operatorKey, clientv3.WithRev(from+1))
	ordered := f.etcd.Watch(ctx, orderPrefix, clientv3.WithPrefix(), clientv3.WithRev(from+1))
	leases := f.etcd.Watch(ctx, leasePrefix, clientv3.WithPrefix(), clientv3.WithRev(from+1))
	asked := f.etcd.Watch(ctx, askPrefix, clientv3.WithPrefix(), clientv3.WithRev(from+1))
	authorities := f.etcd.Watch(ctx, caKey, clientv3.WithRev(from+1))
	for {
		select {
		case resp, ok := <-authorities:
			if err := watchError(resp, ok); err != nil {
				return err
			}
			f.applyAuthority(ctx, resp)
		case resp, ok := <-asked:
			if err := watchError(resp, ok); err != nil {
				return err
			}
			f.applyAsks(resp)
		case resp, ok := <-leases:
			if err := watchError(resp, ok); err != nil {
				return err
			}
			f.applyLeases(resp)
		case resp, ok := <-ordered:
			if err := errors.Join(watchError(resp, ok), f.applyOrders(resp)); err != nil {
				return err
			}
		case resp, ok := <-changes:
			if err := errors.Join(watchError(resp, ok), f.refreshOperator(ctx, resp)); err != nil {
				return err
			}
			f.apply(resp)
		case resp, ok := <-operators:
			if err := watchError(resp, ok); err != nil {
				return err
			}
			f.applyOperator(resp)
		}
	}
}

func watchError(resp clientv3.WatchResponse, ok bool) error {
	if !ok {
		return errWatchEnded
	}
	return resp.Err()
}

// restart begins a new watch after revision from: what happened until then is
// not known change by change, so every session compares what it holds.
func (f *feed) restart(from int64, operator claims, orders map[string]order) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := f.operator.jwt != operator.jwt
	f.revision, f.operator, f.orders = from, operator, orders
	clear(f.remembered)
	for q := range f.queues {
		if changed {
			q.putOperator(operator.jwt)
		}
		q.putOrder(orders[q.broker])
		q.putResync()
	}
}

// apply puts the changes of one revision, or several, into the queues, then the
// watermark that covers them.
func (f *feed) apply(resp clientv3.WatchResponse) {
	if len(resp.Events) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.revision
	for _, e := range resp.Events {
		account := string(e.Kv.Key[len(claimsPrefix):])
		delete(f.remembered, account)
		c := claims{revision: e.Kv.ModRevision}
		if e.Type == mvccpb.Event_PUT {
			c.jwt = string(e.Kv.Value)
		}
		for q := range f.holders[account] {
			q.putClaims(account, c)
		}
		last = max(last, c.revision)
	}
	f.revision = last
	for q := range f.queues {
		q.putWatermark(last)
	}
}

// applyLeases tells of leases that changed hands or are gone.
func (f *feed) applyLeases(resp clientv3.WatchResponse) {
	for _, e := range resp.Events {
		session := ""
		if e.Type == mvccpb.Event_PUT {
			session = string(e.Kv.Value)
		}
		f.leased(string(e.Kv.Key[len(leasePrefix):]), session, e.Kv.ModRevision)
	}
}

func (f *feed) applyOperator(resp clientv3.WatchResponse) {
	for _, e := range resp.Events {
		f.setOperator(claims{jwt: string(e.Kv.Value), revision: e.Kv.ModRevision})
	}
}

// refreshOperator reads the operator again if changes touch its system account: a
// new JWT of the operator is written together with that account's claims, so
// that a broker which acknowledges the one knows the other. The watch over the
// operator may be behind.
func (f *feed) refreshOperator(ctx context.Context, resp clientv3.WatchResponse) error {
	f.mu.Lock()
	known := f.operator.jwt
	f.mu.Unlock()
	operator, err := accounts.ReadOperator(known)
	if err != nil {
		return nil //nolint:nilerr // there is none yet
	}
	touched := slices.ContainsFunc(resp.Events, func(e *clientv3.Event) bool {
		return string(e.Kv.Key) == claimsPrefix+operator.SystemAccount
	})
	if !touched {
		return nil
	}
	got, err := f.etcd.Get(ctx, operatorKey)
	if err != nil {
		return fmt.Errorf("read operator: %w", err)
	}
	if len(got.Kvs) == 1 {
		f.setOperator(claims{jwt: string(got.Kvs[0].Value), revision: got.Kvs[0].ModRevision})
	}
	return nil
}

// setOperator takes the operator's JWT, unless a newer one is known.
func (f *feed) setOperator(next claims) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if next.jwt == "" || next.revision <= f.operator.revision {
		return
	}
	f.operator = next
	for q := range f.queues {
		q.putOperator(next.jwt)
	}
}

// join adds a session's queue. After leave nothing more can be held for it;
// what it held is still to be dropped.
func (f *feed) join(q *queue) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queues[q] = struct{}{}
}

func (f *feed) leave(q *queue) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.queues, q)
}

// hold has changes of the accounts put into q from now on. Earlier ones have to
// be read from the store afterwards.
func (f *feed) hold(q *queue, accounts ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.queues[q]; !ok {
		return // the session is over
	}
	for _, account := range accounts {
		set := f.holders[account]
		if set == nil {
			set = make(map[*queue]struct{})
			f.holders[account] = set
		}
		set[q] = struct{}{}
	}
}

func (f *feed) drop(q *queue, accounts ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, account := range accounts {
		set := f.holders[account]
		delete(set, q)
		if len(set) == 0 {
			delete(f.holders, account)
		}
	}
}

// recall returns remembered claims that are current at least up to atLeast.
func (f *feed) recall(account string, atLeast int64) (claims, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.remembered[account]
	if !ok || max(r.readAt, f.revision) < atLeast {
		return claims{}, false
	}
	return r.claims, true
}

// remember keeps claims for recall, unless a change may have passed between
// reading them and now.
func (f *feed) remember(account string, c claims, readAt int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.revision > readAt {
		return
	}
	for other := range f.remembered {
		if len(f.remembered) < rememberedMax {
			break
		}
		delete(f.remembered, other)
	}
	f.remembered[account] = remembered{claims: c, readAt: readAt}
}

// position returns the revision up to which all changes are in the queues.
func (f *feed) position() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revision
}
