package stock

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/lifecycle"
)

var (
	errOvertaken = errors.New("somebody else writes the status")
	errLost      = errors.New("connection lost")
)

// syncer keeps one cluster up to date. Its methods belong to the goroutine of
// run, or of serve while that runs.
type syncer struct {
	cfg     *Config
	cluster store.StockCluster
	log     *slog.Logger

	place    bool // false: what happened since it was written down is not known
	queue    *queue
	peers    *peers
	status   store.StockStatus
	written  store.StockStatus // as it is in the store
	foreign  map[string]sum    // accounts of the cluster that are none of ours
	lacking  int               // accounts that are being pushed after a comparison
	repaired bool              // the last comparison found something to push
	reached  int64             // revision that a server has that was told everything and owes nothing
	retry    *time.Timer       // for what was refused
	pause    lifecycle.Backoff // of retry
	verify   time.Time         // when the next comparison is due
}

// run follows until ctx ends.
func (s *syncer) run(ctx context.Context) {
	s.place = true
	backoff := lifecycle.Backoff{Min: retryMin, Max: retryMax}
	for ctx.Err() == nil {
		began := time.Now()
		err := s.session(ctx)
		if ctx.Err() != nil {
			return
		}
		s.place = !errors.Is(err, errPlaceLost)
		s.log.WarnContext(ctx, "stock cluster is followed anew", "err", err)
		if time.Since(began) > retryMax {
			backoff.Reset()
		}
		if backoff.Wait(ctx) != nil {
			return
		}
	}
}

// session follows from what is written down on, until that is not its own any
// more.
func (s *syncer) session(ctx context.Context) (err error) {
	if s.written, err = s.cfg.Store.StockStatus(ctx, s.cluster.ID); err != nil {
		return err
	}
	s.status, s.peers, s.foreign, s.queue = s.written, peersOf(s.written.Servers), map[string]sum{}, newQueue()
	s.pause = lifecycle.Backoff{Min: time.Second, Max: time.Minute}
	s.verify, s.reached = time.Time{}, 0
	if s.status.Resynced != s.cluster.Resync {
		if s.cluster.ForgetAbsent {
			s.peers.forgetAbsent()
		}
		s.peers.allUnsure()
		s.status.Resynced = s.cluster.Resync
	}
	if !s.place {
		s.peers.allUnsure()
	}
	from := s.peers.resumeAt()
	if from != 0 {
		from++
	}
	group := lifecycle.NewGroup(ctx)
	group.Go(func(ctx context.Context) error { return s.queue.follow(ctx, s.cfg.Watcher, from) })
	group.Go(s.serve)
	return group.Wait()
}

// serve connects, again and again, and keeps the cluster up to date while it is
// connected.
func (s *syncer) serve(ctx context.Context) error {
	select {
	case <-s.queue.begun:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.retry = time.NewTimer(time.Hour)
	defer s.retry.Stop()
	backoff := lifecycle.Backoff{Min: retryMin, Max: retryMax}
	for {
		attended, err := s.connection(ctx)
		if ctx.Err() != nil || errors.Is(err, errOvertaken) {
			return err
		}
		s.log.WarnContext(ctx, "stock cluster out of reach", "err", err)
		s.peers.allGone()
		s.fault(err)
		if s.status.Unreachable.IsZero() {
			s.status.Unreachable = time.Now().UTC()
		}
		if err := s.note(ctx); err != nil {
			return err
		}
		if attended {
			backoff.Reset()
		}
		if err := backoff.Wait(ctx); err != nil {
			return err
		}
	}
}

// connection is one connection to the cluster, for as long as it lasts.
func (s *syncer) connection(ctx context.Context) (attended bool, err error) {
	user, err := s.cfg.User(ctx, s.cluster)
	if err != nil {
		return false, err
	}
	l, err := dial(ctx, s.cluster, user)
	if err != nil {
		return false, err
	}
	defer l.close()
	if err := s.look(ctx, l); err != nil {
		return false, err
	}
	s.status.Unreachable = time.Time{}
	return true, s.attend(ctx, l)
}

// attend pushes and compares while the connection lasts.
func (s *syncer) attend(ctx context.Context, l *link) error {
	check := time.NewTicker(s.cfg.CheckEvery)
	defer check.Stop()
	for {
		if s.peers.unsure() || !time.Now().Before(s.verify) {
			if err := s.reconcile(ctx, l); err != nil {
				return err
			}
		}
		if err := s.note(ctx); err != nil {
			return err
		}
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.closed:
			s.lastWords(l)
			return errors.Join(errLost, l.nc.LastError())
		case <-s.queue.signal:
			keys, watermark := s.queue.take()
			err = s.push(ctx, l, keys, watermark)
		case <-s.retry.C:
			err = s.push(ctx, l, s.peers.owed(), 0)
		case m := <-l.shutdowns:
			s.heardShutdown(m.Data)
		case <-check.C:
			err = s.look(ctx, l)
		}
		if err != nil {
			return err
		}
	}
}

// look finds out who is there.
func (s *syncer) look(ctx context.Context, l *link) error {
	here, err := l.ping(ctx)
	if err != nil {
		return err
	}
	s.peers.heard(here, time.Now().UTC())
	return nil
}

// fault writes down what went wrong.
func (s *syncer) fault(err error) {
	s.status.Error, s.status.ErrorTime = err.Error(), time.Now().UTC()
}

// note writes the status down if it has news.
func (s *syncer) note(ctx context.Context) error {
	s.status.Servers = s.peers.servers()
	s.status.Behind = int64(s.queue.len() + max(s.lacking, len(s.peers.owed())))
	s.status.Foreign = int64(len(s.foreign))
	if reflect.DeepEqual(s.status, s.written) {
		return nil
	}
	next, ok, err := s.cfg.Store.PutStockStatus(ctx, s.cluster.ID, s.status)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "status of the stock cluster not written", "err", err)
		}
		return errors.Join(errOvertaken, err) // whether it was written is open: read it again
	case !ok:
		return errOvertaken
	}
	s.status, s.written = next, next
	return nil
}

// claims reads what an account is now; "" when it has ended.
func (s *syncer) claims(ctx context.Context, key string) (string, error) {
	text, _, err := s.cfg.Store.Claims(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return text, err
}
