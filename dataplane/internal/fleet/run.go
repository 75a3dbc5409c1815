package fleet

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/coveymq/covey/internal/lifecycle"
)

const (
	// reconnectMax bounds the pause between tries to reach the control plane.
	reconnectMax = 5 * time.Second
	// welcomeTimeout is how long an answer to Hello may take.
	welcomeTimeout = 3 * time.Second
)

// Run keeps a session with the control plane until ctx ends, or until Goodbye
// has been said. It returns nil in both cases.
func (c *Client) Run(ctx context.Context, sink Sink) error {
	if text := c.trust.current(); text != "" {
		if err := sink.SetOperator(text); err != nil {
			c.log.LogAttrs(ctx, slog.LevelError, "cached operator not taken", slog.Any("err", err))
		}
	}
	g := lifecycle.NewGroup(ctx)
	g.Go(func(ctx context.Context) error { return c.attend(ctx, sink) })
	g.Go(c.renew)
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func (c *Client) attend(ctx context.Context, sink Sink) error {
	backoff := lifecycle.Backoff{Min: 100 * time.Millisecond, Max: reconnectMax}
	told := false
	for {
		s := newSession(c, sink)
		err := s.run(ctx)
		if ctx.Err() != nil {
			c.lost()
			return ctx.Err()
		}
		if s.welcomed {
			backoff.Reset()
			told = false
		}
		since := c.lost()
		if c.isLeaving() && errors.Is(err, io.EOF) {
			return nil
		}
		c.log.LogAttrs(ctx, slog.LevelWarn, "control plane not reached", slog.Any("err", err))
		if !told {
			sink.Offline(since)
			told = true
		}
		c.checkRight(time.Now(), sink)
		if err := backoff.Wait(ctx); err != nil {
			return err
		}
		c.conn.ResetConnectBackoff()
	}
}

// lost ends the session for everybody who looks at the phase, and returns when
// the control plane was last heard.
func (c *Client) lost() time.Time {
	c.mu.Lock()
	left := c.leaving
	if c.phase == online && !left {
		c.contact.Last = time.Now()
	}
	now := c.contact
	c.out = nil
	c.setPhaseLocked(offline)
	c.mu.Unlock()
	if !left && !now.Last.IsZero() {
		if err := c.saveContact(now); err != nil {
			c.log.Warn("last contact not saved", slog.Any("err", err))
		}
	}
	return now.Last
}

func (c *Client) isLeaving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving
}

// Goodbye tells the control plane that this process serves nobody any more; call
// it when the last client is gone. It returns nil when that is written down. The
// broker then may not serve from its cache before it has attended again. Run
// returns after it.
func (c *Client) Goodbye(ctx context.Context) error {
	c.mu.Lock()
	out := c.out
	if c.phase != online || out == nil {
		c.mu.Unlock()
		return ErrUnavailable
	}
	c.leaving = true
	c.mu.Unlock()
	out.change(func(m *mail) { m.goodbye = true })
	var err error
	select {
	case <-out.ended:
		err = out.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !errors.Is(err, io.EOF) {
		c.mu.Lock()
		c.leaving = false
		c.mu.Unlock()
		return ErrUnavailable.WithCause(err)
	}
	return c.forgetContact()
}
