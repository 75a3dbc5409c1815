package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nkeys"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const (
	// lookupTimeout is how long one lookup may try.
	lookupTimeout = 5 * time.Second
	// lookupPause is between tries of one lookup while the session is up.
	lookupPause = 200 * time.Millisecond
)

// flight is one lookup that any number of callers wait for.
type flight struct {
	done   chan struct{}
	newest *claims // came by the stream meanwhile; guarded by Client.mu
	wanted int     // callers that did not give up; guarded by Client.mu
	got    claims  // set before done is closed, as is err
	err    error
}

// Lookup returns the signed, verified claims of an account: from the control
// plane, or from the cache when it cannot be reached and ServeUntil has not
// passed. ErrUnknownAccount says that there is no such account, ErrUnavailable
// that this cannot be known now.
//
// After Lookup the account counts as loaded: changes go to the Sink. The caller
// tells with Hold that it installed the claims, or with Drop that it will not; a
// change that comes in between waits for that, up to a second.
func (c *Client) Lookup(ctx context.Context, accountKey string) (jwt string, revision int64, err error) {
	if !nkeys.IsValidPublicAccountKey(accountKey) {
		return "", 0, ErrUnknownAccount
	}
	c.mu.Lock()
	f := c.flights[accountKey]
	if f == nil {
		if c.closed {
			c.mu.Unlock()
			return "", 0, ErrUnavailable
		}
		f = &flight{done: make(chan struct{})}
		c.flights[accountKey] = f
		c.flying.Go(func() { c.fly(accountKey, f) }) //nolint:contextcheck // shared by callers; ends by itself and at Close
	}
	f.wanted++
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.got.JWT, f.got.Revision, f.err
	case <-ctx.Done():
		c.abandon(accountKey, f)
		return "", 0, ErrUnavailable.WithCause(ctx.Err())
	}
}

// abandon is what a caller does that cannot wait longer. Claims that nobody took
// will not be installed.
func (c *Client) abandon(account string, f *flight) {
	c.mu.Lock()
	f.wanted--
	nobody := f.wanted == 0 && c.flights[account] != f && f.err == nil
	c.mu.Unlock()
	if nobody {
		c.Drop(account)
	}
}

// fly tries until there is an answer or the time is over.
func (c *Client) fly(account string, f *flight) {
	defer close(f.done)
	ctx, cancel := context.WithTimeout(c.root, lookupTimeout)
	defer cancel()
	pause := time.NewTicker(lookupPause)
	defer pause.Stop()
	for {
		done, changed := c.try(ctx, account, f)
		if done {
			return
		}
		select {
		case <-changed:
		case <-pause.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			c.giveUp(account, f, ctx.Err())
			return
		}
	}
}

// try makes one attempt. If it settled nothing it returns what to wait for.
func (c *Client) try(ctx context.Context, account string, f *flight) (bool, <-chan struct{}) {
	c.mu.Lock()
	now, session, changed := c.phase, c.sessions, c.changed
	c.mu.Unlock()
	switch now {
	case online:
		got, err := c.ask(ctx, account)
		if errors.Is(err, ErrUnavailable) {
			f.err = err
			return false, changed
		}
		return c.landIf(account, f, got, err, func() bool { return c.phase == online && c.sessions == session }), changed
	case offline:
		got, err := c.recall(account)
		return c.landIf(account, f, got, err, func() bool { return c.phase == offline }), changed
	default:
		return false, changed
	}
}

// ask reads an account from the control plane.
func (c *Client) ask(ctx context.Context, account string) (claims, error) {
	resp, err := c.rpc.LookupAccount(ctx, &fleetv1.LookupAccountRequest{AccountPublicKey: account})
	switch {
	case status.Code(err) == codes.NotFound:
		return claims{}, ErrUnknownAccount
	case err != nil:
		return claims{}, ErrUnavailable.WithCause(err)
	}
	got := claims{JWT: resp.GetClaims().GetJwt(), Revision: resp.GetClaims().GetRevision()}
	if err := c.trust.verify(account, got.JWT); err != nil {
		c.log.LogAttrs(ctx, slog.LevelError, "looked up claims refused", slog.String("account", account), slog.Any("err", err))
		return claims{}, ErrUnavailable.WithCause(err)
	}
	return got, nil
}

// recall reads an account from the cache, if the broker may serve alone.
func (c *Client) recall(account string) (claims, error) {
	if until := c.ServeUntil(); !time.Now().Before(until) {
		return claims{}, ErrUnavailable.WithCause(fmt.Errorf("the right to serve from the cache ended at %v", until))
	}
	got, err := c.cache.load(account)
	if err != nil {
		return claims{}, ErrUnavailable.WithCause(err)
	}
	if err := c.trust.verify(account, got.JWT); err != nil {
		c.log.Error("cached claims refused", slog.String("account", account), slog.Any("err", err))
		return claims{}, ErrUnavailable.WithCause(err)
	}
	return got, nil
}

// landIf ends the flight if what the answer rests on still holds. An answer of a
// session that is over may be older than what the next one acknowledged.
func (c *Client) landIf(account string, f *flight, got claims, err error, holds func() bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !holds() {
		return false
	}
	if f.newest != nil && err == nil && f.newest.Revision > got.Revision {
		got = *f.newest
		if got.JWT == "" {
			err = ErrUnknownAccount
		}
	}
	c.landLocked(account, f, got, err, c.phase == online)
	return true
}

func (c *Client) giveUp(account string, f *flight, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.landLocked(account, f, claims{}, ErrUnavailable.WithCause(errors.Join(f.err, why)), false)
}

// landLocked gives the flight its result; keep says that the cache is to follow.
func (c *Client) landLocked(account string, f *flight, got claims, err error, keep bool) {
	f.got, f.err = got, err
	delete(c.flights, account)
	switch {
	case err == nil:
		c.loadLocked(account, got, keep, f.wanted > 0)
	case keep && errors.Is(err, ErrUnknownAccount):
		if h := c.accounts[account]; h != nil && !h.loaded {
			c.removeLocked(account)
			c.logCache(account, c.cache.remove(account))
		}
	}
}
