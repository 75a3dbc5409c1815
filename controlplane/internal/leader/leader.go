// Package leader lets one control plane of several do what need not be done
// twice, by an election in etcd. When the leader ends, another takes over at
// once; when it is killed or cut off, after its lease.
//
// A leader that was cut off learns so no later than its lease lapses, but not
// at the same instant: work that two must never do at once needs a guard of its
// own.
package leader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/coveymq/covey/internal/lifecycle"
)

const (
	leaseTTL     = 10 * time.Second // how long a killed leader is waited for
	resignWithin = 2 * time.Second  // etcd may be away when we stop
	retryMin     = 100 * time.Millisecond
	retryMax     = 5 * time.Second
)

// Config says which election.
type Config struct {
	Etcd   *clientv3.Client
	Key    string        // prefix of the election's keys
	Name   string        // of this candidate, for people
	TTL    time.Duration // whole seconds; 0 is leaseTTL
	Logger *slog.Logger
}

// Run stands for election until ctx ends, and calls work whenever it is
// elected. The context of work ends with the lead; work is called again with
// the next one. An error of work ends Run.
func Run(ctx context.Context, cfg Config, work func(ctx context.Context) error) error {
	if cfg.TTL == 0 {
		cfg.TTL = leaseTTL
	}
	log := cfg.Logger.With("component", "leader")
	backoff := lifecycle.Backoff{Min: retryMin, Max: retryMax}
	for {
		led, failed, err := term(ctx, cfg, log, work)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // ctx ended: whatever failed did so for that
		}
		if failed {
			return err
		}
		if led {
			backoff.Reset()
		}
		log.WarnContext(ctx, "no leader here for now", "err", err)
		if backoff.Wait(ctx) != nil {
			return nil //nolint:nilerr // ctx ended: so did the wait
		}
	}
}

var errLost = errors.New("lease lost")

// term is one candidacy and, if elected, one lead. failed says that work ended
// by itself.
func term(ctx context.Context, cfg Config, log *slog.Logger, work func(context.Context) error) (led, failed bool, err error) {
	// The session outlives ctx by as long as it takes to resign.
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	lease, err := cfg.Etcd.Grant(ctx, int64(cfg.TTL/time.Second))
	if err != nil {
		return false, false, fmt.Errorf("grant lease: %w", err)
	}
	session, err := concurrency.NewSession(cfg.Etcd, concurrency.WithLease(lease.ID), concurrency.WithContext(alive))
	if err != nil {
		return false, false, fmt.Errorf("keep lease: %w", err)
	}
	defer session.Orphan()
	defer func() {
		ctx, cancel := context.WithTimeout(alive, resignWithin)
		defer cancel()
		if _, err := cfg.Etcd.Revoke(ctx, lease.ID); err != nil {
			log.DebugContext(ctx, "lease not revoked, it lapses", "err", err)
		}
	}()
	bound, stop := context.WithCancel(ctx)
	defer stop()
	lapse := lifecycle.NewGroup(bound)
	lapse.Side(func(ctx context.Context) error {
		select {
		case <-session.Done():
			stop()
		case <-ctx.Done():
		}
		return nil
	})
	defer func() {
		lapse.Stop()
		_ = lapse.Wait() // it has no errors
	}()
	if err := concurrency.NewElection(session, cfg.Key).Campaign(bound, cfg.Name); err != nil {
		return false, false, errors.Join(errLost, err)
	}
	log.InfoContext(ctx, "leading", "name", cfg.Name)
	err = work(bound)
	if bound.Err() != nil {
		return true, false, errors.Join(errLost, err)
	}
	return true, true, err
}
