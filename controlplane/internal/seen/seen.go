// Package seen keeps when credentials were last seen, as brokers tell it.
//
// However often a credential is seen, it costs at most one write an hour, and many
// are written together; the store sees to that. What a control plane has collected
// when it is killed, or what does not fit, is lost, and is told again when the client
// connects anew or, if it stays, within the hour.
package seen

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const (
	lookEvery  = time.Second
	turnMax    = 300    // credentials looked after at one look
	waitingMax = 50_000 // credentials that wait at the same time
	skewMax    = time.Minute
)

// Collector collects what brokers tell. Run writes it down.
type Collector struct {
	store *store.Store
	log   *slog.Logger

	mu      sync.Mutex
	waiting map[credential]time.Time
	lost    int // since it was logged
}

type credential struct {
	account, user string
	issuedAt      int64
}

// New returns a collector for a store.
func New(st *store.Store, log *slog.Logger) *Collector {
	return &Collector{store: st, log: log.With("component", "seen"), waiting: map[credential]time.Time{}}
}

// Take takes what a broker tells. A broker whose clock is ahead does not put
// anything into the future.
func (c *Collector) Take(told *fleetv1.Sightings) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range told.GetSightings() {
		at := s.GetTime().AsTime()
		if s.GetAccountPublicKey() == "" || s.GetUserPublicKey() == "" || s.GetIssuedAt() <= 0 || at.Unix() < s.GetIssuedAt()-int64(skewMax/time.Second) {
			continue
		}
		if at.After(now) {
			at = now
		}
		c.waitLocked(credential{s.GetAccountPublicKey(), s.GetUserPublicKey(), s.GetIssuedAt()}, at)
	}
}

func (c *Collector) waitLocked(of credential, at time.Time) {
	have, waits := c.waiting[of]
	if !waits && len(c.waiting) >= waitingMax {
		c.lost++
		return
	}
	if at.After(have) {
		c.waiting[of] = at
	}
}

// Run writes until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			c.turn(ctx)
		}
	}
}

// turn writes a part of what waits. What cannot be written waits on.
func (c *Collector) turn(ctx context.Context) {
	part, lost := c.some()
	if lost > 0 {
		c.log.WarnContext(ctx, "too many credentials seen at once; some will be noted later", "count", lost)
	}
	if len(part) == 0 {
		return
	}
	if err := c.store.NoteSeen(ctx, part); err != nil {
		if ctx.Err() == nil {
			c.log.WarnContext(ctx, "credentials seen are not kept yet", "count", len(part), "err", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range part {
			c.waitLocked(credential{s.Account, s.User, s.IssuedAt}, s.Time)
		}
	}
}

// some takes up to turnMax out of what waits.
func (c *Collector) some() (part []store.Sighting, lost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lost, c.lost = c.lost, 0
	for of, at := range c.waiting {
		if len(part) == turnMax {
			break
		}
		part = append(part, store.Sighting{Account: of.account, User: of.user, IssuedAt: of.issuedAt, Time: at})
		delete(c.waiting, of)
	}
	return part, lost
}
