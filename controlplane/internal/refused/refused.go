// Package refused brings what brokers refused into the audit logs: of the
// organization whose account it is, or of the installation if that is not known.
//
// A flood of refusals costs a log at most one entry a minute from each control
// plane, of at most LinesMax lines; what does not fit is counted without its
// particulars. Entries go the way of all others: through etcd, which they leave
// within a minute, so that the chain and its head cover them. What a control plane
// has collected when it is killed is lost.
package refused

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coveymq/covey/controlplane/internal/audit"
	"github.com/coveymq/covey/controlplane/internal/store"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

// LinesMax is how many lines one entry has, the one for the others included.
const LinesMax = 32

const (
	lookEvery   = time.Second
	entryEvery  = time.Minute // between two entries of one log
	accountsMax = 10_000      // that wait at the same time
	perAccount  = 64          // lines of one that wait
	turnMax     = 200         // entries written at one look
	textMax     = 160
)

// Method is what entries say was done.
const Method = "RefusedByBrokers"

const others = "others"

// Collector collects what brokers tell. Run writes it down.
type Collector struct {
	store *store.Store
	log   *slog.Logger

	mu      sync.Mutex
	waiting map[string]map[lineKey]*audit.Refusal // by account key; "" if that is not known
	written map[string]time.Time                  // when a log got its last entry
}

type lineKey struct{ user, kind, reason string }

// New returns a collector for a store.
func New(st *store.Store, log *slog.Logger) *Collector {
	return &Collector{
		store: st, log: log.With("component", "refused"),
		waiting: map[string]map[lineKey]*audit.Refusal{}, written: map[string]time.Time{},
	}
}

// Take takes what a broker tells. What is malformed counts as said by nobody.
func (c *Collector) Take(told *fleetv1.Refusals) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range told.GetRefusals() {
		if r.GetCount() <= 0 || !slices.Contains([]string{"connect", "publish", "subscribe"}, r.GetKind()) {
			continue
		}
		c.addLocked(r.GetAccountPublicKey(), audit.Refusal{
			User: clean(r.GetUserPublicKey()), Kind: r.GetKind(), Reason: clean(r.GetReason()), Count: r.GetCount(),
			First: r.GetFirstTime().AsTime().UTC().Truncate(time.Second), Last: r.GetLastTime().AsTime().UTC().Truncate(time.Second),
		})
	}
}

func clean(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), textMax)], "")
}

func (c *Collector) addLocked(account string, r audit.Refusal) {
	if c.waiting[account] == nil && len(c.waiting) >= accountsMax {
		account, r.User, r.Reason = "", "", others
	}
	if c.waiting[account] == nil {
		c.waiting[account] = map[lineKey]*audit.Refusal{}
	}
	merge(c.waiting[account], r, perAccount)
}

// merge puts a line into a page of at most so many lines, and a few for others.
func merge(page map[lineKey]*audit.Refusal, r audit.Refusal, most int) {
	k := lineKey{r.User, r.Kind, r.Reason}
	if page[k] == nil && len(page) >= most {
		k = lineKey{"", r.Kind, others}
		r.User, r.Reason = "", others
	}
	have := page[k]
	if have == nil {
		page[k] = &r
		return
	}
	have.Count += r.Count
	if r.First.Before(have.First) {
		have.First = r.First
	}
	if r.Last.After(have.Last) {
		have.Last = r.Last
	}
}

// Run writes entries until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			c.turn(ctx, now)
		}
	}
}

// turn writes an entry into each log that has waited long enough for one.
func (c *Collector) turn(ctx context.Context, now time.Time) {
	logs := map[string][]string{} // accounts by organization
	for _, account := range c.accounts() {
		organization, err := c.ownerOf(ctx, account)
		if err != nil {
			c.log.WarnContext(ctx, "refusals wait", "err", err)
			return
		}
		if c.due(organization, now) && (len(logs) < turnMax || logs[organization] != nil) {
			logs[organization] = append(logs[organization], account)
		}
	}
	for organization, keys := range logs {
		lines := c.take(keys)
		if err := c.write(ctx, organization, lines); err != nil {
			if ctx.Err() == nil {
				c.log.WarnContext(ctx, "refusals not written", "organization", organization, "err", err)
			}
			c.back(lines)
			continue
		}
		c.mu.Lock()
		c.written[organization] = now
		c.mu.Unlock()
	}
	c.forget(now)
}

func (c *Collector) accounts() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := make([]string, 0, len(c.waiting))
	for account := range c.waiting {
		keys = append(keys, account)
	}
	return keys
}

// ownerOf is whose log an account's refusals go to; "" is the installation's.
func (c *Collector) ownerOf(ctx context.Context, account string) (string, error) {
	if account == "" {
		return "", nil
	}
	ref, err := c.store.AccountByKey(ctx, account)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return ref.Organization, err
}

func (c *Collector) due(organization string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Sub(c.written[organization]) >= entryEvery
}

// take removes what waits for accounts.
func (c *Collector) take(accounts []string) map[string]map[lineKey]*audit.Refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := map[string]map[lineKey]*audit.Refusal{}
	for _, account := range accounts {
		taken[account] = c.waiting[account]
		delete(c.waiting, account)
	}
	return taken
}

func (c *Collector) back(lines map[string]map[lineKey]*audit.Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for account, page := range lines {
		for _, r := range page {
			c.addLocked(account, *r)
		}
	}
}

// forget lets go of logs that have been quiet.
func (c *Collector) forget(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for organization, at := range c.written {
		if now.Sub(at) >= entryEvery {
			delete(c.written, organization)
		}
	}
}

// write makes one entry, the most frequent first.
func (c *Collector) write(ctx context.Context, organization string, pages map[string]map[lineKey]*audit.Refusal) error {
	var all []audit.Refusal
	for account, page := range pages {
		for _, r := range page {
			line := *r
			line.Account = account
			all = append(all, line)
		}
	}
	target := "installation"
	if organization != "" {
		target = "organizations/" + organization
	}
	change := store.Change{
		Scope: store.Everything(), Organization: organization, Actor: "brokers", Method: Method, Target: target, Refusals: shorten(all),
	}
	_, _, err := store.Update(ctx, c.store, change, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		if organization == "" {
			return struct{}{}, store.Outcome{}, nil
		}
		_, err := tx.Org(ctx)
		return struct{}{}, store.Outcome{}, err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil // the organization is gone, and so is its log
	}
	return err
}

// shorten keeps the most frequent lines and adds the rest up.
func shorten(all []audit.Refusal) []audit.Refusal {
	slices.SortFunc(all, func(a, b audit.Refusal) int {
		switch {
		case a.Count != b.Count:
			return int(min(max(b.Count-a.Count, -1), 1))
		case a.Account != b.Account:
			return strings.Compare(a.Account, b.Account)
		case a.User != b.User:
			return strings.Compare(a.User, b.User)
		}
		return strings.Compare(a.Kind+a.Reason, b.Kind+b.Reason)
	})
	if len(all) <= LinesMax {
		return all
	}
	rest := audit.Refusal{Kind: others, Reason: others, First: all[LinesMax-1].First}
	for _, r := range all[LinesMax-1:] {
		rest.Count += r.Count
		if r.First.Before(rest.First) {
			rest.First = r.First
		}
		if r.Last.After(rest.Last) {
			rest.Last = r.Last
		}
	}
	return append(all[:LinesMax-1], rest)
}
