package fleet

import (
	"log/slog"
	"time"
)

// evictSample is how many unused accounts are compared to find an old one.
const evictSample = 16

// Hold says that the broker has installed what Lookup returned. The control
// plane sends the present claims once more, so nothing is missed.
func (c *Client) Hold(accountKey string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.accounts[accountKey]
	if h == nil {
		h = &holding{}
		c.accounts[accountKey] = h
	}
	h.loaded, h.used = true, time.Now()
	h.installed()
	if c.out != nil {
		c.out.hold(accountKey, true)
	}
}

// Drop says that the broker does not serve the account any more. Its claims stay
// in the cache, and are kept up to date there.
func (c *Client) Drop(accountKey string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.accounts[accountKey]
	if h == nil {
		return
	}
	h.loaded, h.used = false, time.Now()
	h.installed()
	c.evictLocked()
}

func (h *holding) installed() {
	if h.installing != nil {
		close(h.installing)
		h.installing = nil
	}
}

// loadLocked notes what a lookup brought, and that somebody takes it if wanted.
func (c *Client) loadLocked(account string, got claims, keep, wanted bool) {
	h := c.accounts[account]
	if h == nil {
		h = &holding{}
		c.accounts[account] = h
	}
	h.used, h.revision = time.Now(), got.Revision
	if wanted {
		h.loaded = true
	}
	if wanted && h.installing == nil {
		h.installing = make(chan struct{})
	}
	if keep {
		c.logCache(account, c.cache.store(account, got))
	}
	c.evictLocked()
}

// evictLocked keeps the number of accounts within bounds, at the expense of
// those that are only in the cache.
func (c *Client) evictLocked() {
	for len(c.accounts) > c.cfg.AccountsMax {
		oldest, seen := "", 0
		for account, h := range c.accounts {
			if h.loaded {
				continue
			}
			if oldest == "" || h.used.Before(c.accounts[oldest].used) {
				oldest = account
			}
			if seen++; seen == evictSample {
				break
			}
		}
		if oldest == "" {
			return // all are in use
		}
		c.removeLocked(oldest)
		c.logCache(oldest, c.cache.remove(oldest))
	}
}

// removeLocked forgets an account and tells the control plane so.
func (c *Client) removeLocked(account string) {
	if h := c.accounts[account]; h != nil {
		h.installed()
	}
	delete(c.accounts, account)
	if c.out != nil {
		c.out.hold(account, false)
	}
}

func (c *Client) logCache(account string, err error) {
	if err != nil {
		c.log.Warn("claims cache not written", slog.String("account", account), slog.Any("err", err))
	}
}
