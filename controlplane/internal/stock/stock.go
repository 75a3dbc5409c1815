// Package stock has clusters of stock nats-servers follow the accounts of the
// installation. For each cluster it watches the claims in the store and pushes
// what changes over the cluster's system account ($SYS.REQ.CLAIMS.UPDATE and
// DELETE); at its start, when a server (re)starts, and every minute it compares
// the whole (LIST and PACK) and pushes what differs.
//
// A server counts as having a revision only when it answered for itself, by its
// id, that it stored every change up to it: what is written down of a server may
// be shown as the proof that nobody serves the older state there.
//
// It decides nothing about accounts, and leaves accounts of a cluster that are
// none of ours alone. One control plane at a time runs it; two at once do no harm,
// because what a server is told is always what the store says then, and the status
// of a cluster is written by compare-and-swap.
package stock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/lifecycle"
)

const (
	checkEvery  = 5 * time.Second // how late a server is noticed that came or went without a word
	verifyEvery = time.Minute
	retryMin    = 200 * time.Millisecond
	retryMax    = 30 * time.Second
)

// Config is what a Follower needs.
type Config struct {
	Store   *store.Store
	Watcher clientv3.Watcher // of the store's etcd
	// User opens what a cluster is connected to with.
	User func(ctx context.Context, c store.StockCluster) (tenancy.StockUser, error)
	// Deletion signs, with the operator's signing key, that accounts be forgotten.
	Deletion func(ctx context.Context, keys []string) (string, error)
	Logger   *slog.Logger

	CheckEvery  time.Duration // 0 is five seconds
	VerifyEvery time.Duration // 0 is a minute
}

// Follower keeps all clusters up to date while it runs.
type Follower struct {
	cfg Config
	log *slog.Logger
}

// New returns a Follower.
func New(cfg Config) *Follower {
	if cfg.CheckEvery == 0 {
		cfg.CheckEvery = checkEvery
	}
	if cfg.VerifyEvery == 0 {
		cfg.VerifyEvery = verifyEvery
	}
	return &Follower{cfg: cfg, log: cfg.Logger.With("component", "stock")}
}

// member is one cluster that is being followed.
type member struct {
	revision int64 // of its record: another one begins anew
	cancel   context.CancelFunc
	done     sync.WaitGroup
}

func (m *member) stop() {
	m.cancel()
	m.done.Wait()
}

var errWatchEnded = errors.New("watch ended")

// Run follows all clusters, those that are added later too, until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	running := map[string]*member{}
	defer func() {
		for _, m := range running {
			m.stop()
		}
	}()
	backoff := lifecycle.Backoff{Min: retryMin, Max: retryMax}
	for {
		began := time.Now()
		err := f.watch(ctx, running)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // ctx ended: so did the watch
		}
		f.log.WarnContext(ctx, "list of stock clusters is stale for now", "err", err)
		if time.Since(began) > retryMax {
			backoff.Reset()
		}
		if backoff.Wait(ctx) != nil {
			return nil //nolint:nilerr // ctx ended: so did the wait
		}
	}
}

func (f *Follower) watch(ctx context.Context, running map[string]*member) error {
	watching, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	changes := f.cfg.Watcher.Watch(watching, store.StockPrefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify(), clientv3.WithKeysOnly())
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r, ok := <-changes:
			if !ok {
				return errWatchEnded
			}
			if err := r.Err(); err != nil {
				return fmt.Errorf("watch stock clusters: %w", err)
			}
			if err := f.adjust(ctx, running); err != nil {
				return err
			}
		}
	}
}

// adjust stops and starts members so that they are those of the store.
func (f *Follower) adjust(ctx context.Context, running map[string]*member) error {
	clusters, err := f.cfg.Store.FollowedClusters(ctx)
	if err != nil {
		return err
	}
	wanted := map[string]store.StockCluster{}
	for _, c := range clusters {
		wanted[c.ID] = c.StockCluster
	}
	for id, m := range running {
		if c, ok := wanted[id]; !ok || c.Revision != m.revision {
			m.stop()
			delete(running, id)
		}
	}
	for id, c := range wanted {
		if running[id] != nil {
			continue
		}
		alone, cancel := context.WithCancel(ctx)
		m := &member{revision: c.Revision, cancel: cancel}
		running[id] = m
		s := &syncer{cfg: &f.cfg, cluster: c, log: f.log.With("cluster", id)}
		m.done.Go(func() { s.run(alone) })
	}
	return nil
}
