package fleet

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

// DeliverEvery is the least time between two deliveries to one broker. However
// fast accounts change, a broker is told so many times a second, each time the
// latest of every account that it holds.
const DeliverEvery = 20 * time.Millisecond

// errGoodbye ends a session whose broker serves nobody any more.
var errGoodbye = errors.New("goodbye")

// session is one broker's Attend call.
type session struct {
	// Immutable.
	service *Service
	broker  string
	stream  fleetv1.FleetService_AttendServer
	cancel  context.CancelCauseFunc
	log     *slog.Logger
	queue   *queue
	keeper  *keeper
	begun   chan struct{} // closed when the broker's record and lease are written

	// Owned by run.
	operator string
	draining bool

	// watermark is the highest revision sent for acknowledgement.
	watermark atomic.Int64

	mu sync.Mutex
	// held has, for each account that concerns this broker, the revision of the
	// claims that it has or that were sent last; 0 if that is not known.
	held map[string]int64
	// asked has the leases that answers of the broker go with.
	asked map[string]clientv3.LeaseID
}

// run sends until the session ends. It is the only one to use stream.Send.
func (ses *session) run(ctx context.Context) error {
	var keeping sync.WaitGroup
	keeping.Go(func() {
		if err := ses.keeper.keep(ctx); err != nil {
			ses.cancel(err)
		}
	})
	close(ses.begun)
	err := ses.send(ctx)
	ses.cancel(err)
	keeping.Wait()
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errGoodbye):
		return ses.keeper.exit(ses.stream.Context()) //nolint:contextcheck // ctx has ended; the stream has not
	case errors.Is(cause, io.EOF):
		return nil // without goodbye: the lease lapses by itself
	default:
		return cause
	}
}

func (ses *session) send(ctx context.Context) error {
	ses.service.feed.hold(ses.queue, ses.accounts()...)
	operator, revision, err := ses.service.readOperator(ctx)
	if err != nil {
		return err
	}
	ses.operator = operator
	if err := ses.stream.Send(ses.welcome(operator, revision)); err != nil {
		return err
	}
	ses.queue.putResync()
	for {
		select {
		case <-ses.queue.signal:
			o := ses.queue.take()
			err := ses.ask(o.asks)
			if err == nil {
				err = ses.deliver(ctx, o)
			}
			if err != nil {
				return err
			}
		case <-ses.service.stopping:
			return errStopping
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := ses.pace(ctx); err != nil {
			return err
		}
	}
}

// pace waits until the next delivery may begin; what comes meanwhile is merged.
func (ses *session) pace(ctx context.Context) error {
	timer := time.NewTimer(DeliverEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ses.service.stopping:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deliver carries out orders. The watermark goes last.
func (ses *session) deliver(ctx context.Context, o orders) error {
	if o.operator != "" {
		ses.operator = o.operator
	}
	if o.order != nil {
		if o.order.Revoked {
			// An honest broker lets go of its clients; it hears nothing after this.
			ses.draining = true
			return errors.Join(ses.stream.Send(ses.welcome(ses.operator, ses.watermark.Load())), errRevoked)
		}
		ses.draining = o.order.Draining
	}
	if o.operator != "" || o.order != nil || o.greet {
		if err := ses.stream.Send(ses.welcome(ses.operator, ses.watermark.Load())); err != nil {
			return err
		}
	}
	switch {
	case o.resync:
		readAt, err := ses.catchUp(ctx, ses.accounts())
		if err != nil {
			return err
		}
		o.watermark = max(o.watermark, readAt)
	case len(o.fresh) > 0:
		if _, err := ses.catchUp(ctx, o.fresh); err != nil {
			return err
		}
	}
	for account, c := range o.pending {
		if err := ses.sendClaims(account, c, false); err != nil {
			return err
		}
	}
	if o.watermark <= ses.watermark.Load() {
		return nil
	}
	ses.watermark.Store(o.watermark)
	return ses.stream.Send(&fleetv1.AttendResponse{Message: &fleetv1.AttendResponse_Watermark{
		Watermark: &fleetv1.Watermark{Revision: o.watermark},
	}})
}

// sendClaims sends c unless the broker has it, or something newer, already or
// does not hold the account any more. With force, only the latter counts: the
// store is right whatever the broker believes.
func (ses *session) sendClaims(account string, c claims, force bool) error {
	ses.mu.Lock()
	has, held := ses.held[account]
	if !held || !force && c.revision <= has {
		ses.mu.Unlock()
		return nil
	}
	ses.held[account] = c.revision
	ses.mu.Unlock()
	return ses.stream.Send(&fleetv1.AttendResponse{Message: &fleetv1.AttendResponse_AccountClaims{
		AccountClaims: &fleetv1.AccountClaims{AccountPublicKey: account, Jwt: c.jwt, Revision: c.revision},
	}})
}

// hold adds accounts, reporting false if there are too many. With again, an
// account already held counts as unknown to the broker.
func (ses *session) hold(again bool, accounts ...string) bool {
	ses.mu.Lock()
	if len(ses.held)+len(accounts) > heldMax {
		ses.mu.Unlock()
		return false
	}
	for _, account := range accounts {
		if _, ok := ses.held[account]; !ok || again {
			ses.held[account] = 0
		}
	}
	ses.mu.Unlock()
	ses.service.feed.hold(ses.queue, accounts...)
	return true
}

func (ses *session) holds(account string) bool {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	_, ok := ses.held[account]
	return ok
}

func (ses *session) unhold(accounts ...string) {
	ses.mu.Lock()
	for _, account := range accounts {
		delete(ses.held, account)
	}
	ses.mu.Unlock()
	ses.service.feed.drop(ses.queue, accounts...)
}

func (ses *session) accounts() []string {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	accounts := make([]string, 0, len(ses.held))
	for account := range ses.held {
		accounts = append(accounts, account)
	}
	return accounts
}

// close takes the session out of the feed.
func (ses *session) close() {
	ses.service.feed.leave(ses.queue)
	ses.service.feed.drop(ses.queue, ses.accounts()...)
}
