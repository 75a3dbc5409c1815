package fleet

import (
	"context"
	"log/slog"
	"time"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

// installWait is how long a change waits for the broker to install what a
// lookup just returned. It only passes in full if the broker forgot to say so.
const installWait = time.Second

// applier puts what the control plane says in force, in order, and acknowledges
// it. It belongs to one goroutine.
type applier struct {
	c    *Client
	sink Sink
	out  *outbox

	watermark int64
	failed    map[string]claims // not in force: nothing is acknowledged meanwhile
}

func (a *applier) handle(ctx context.Context, m *fleetv1.AttendResponse) {
	switch v := m.GetMessage().(type) {
	case *fleetv1.AttendResponse_Welcome:
		a.operator(ctx, v.Welcome.GetOperatorJwt())
		a.c.identity.want(v.Welcome.GetAuthorities())
		a.c.duty.become(duty{draining: v.Welcome.GetDraining()}, a.sink)
		a.retry(ctx)
	case *fleetv1.AttendResponse_AccountClaims:
		got := v.AccountClaims
		a.account(ctx, got.GetAccountPublicKey(), claims{Revision: got.GetRevision(), JWT: got.GetJwt()})
		a.acknowledge()
	case *fleetv1.AttendResponse_CountConnections:
		a.count(v.CountConnections)
	case *fleetv1.AttendResponse_Watermark:
		a.watermark = max(a.watermark, v.Watermark.GetRevision())
		a.acknowledge()
	}
}

// count answers how many clients are connected.
func (a *applier) count(q *fleetv1.CountConnections) {
	answer := &fleetv1.ConnectionCount{Id: q.GetId()}
	for _, s := range q.GetSelections() {
		answer.Counts = append(answer.Counts, a.sink.Connections(s.GetAccountPublicKey(), s.GetUserPublicKeys(), s.GetIssuerPublicKeys()))
	}
	if len(q.GetSelections()) == 0 { // an older control plane
		var users []string
		if q.GetUserPublicKey() != "" {
			users = []string{q.GetUserPublicKey()}
		}
		answer.Connections = a.sink.Connections(q.GetAccountPublicKey(), users, nil)
	}
	a.out.change(func(m *mail) {
		if len(m.counted) < countedMax {
			m.counted = append(m.counted, answer)
		}
	})
}

// acknowledge says how far the broker is, unless something is not in force.
func (a *applier) acknowledge() {
	if len(a.failed) == 0 && a.watermark > 0 {
		a.out.change(func(m *mail) { m.ack = a.watermark })
	}
}

// operator takes the operator's JWT. One that is not the operator's is ignored:
// claims by its keys will fail, and so never be acknowledged.
func (a *applier) operator(ctx context.Context, text string) {
	if text == "" {
		return
	}
	err := a.c.trust.set(text)
	if a.c.trust.current() == text {
		if err != nil {
			a.c.log.LogAttrs(ctx, slog.LevelWarn, "operator not saved", slog.Any("err", err))
		}
		err = a.sink.SetOperator(text)
	}
	if err != nil {
		a.c.log.LogAttrs(ctx, slog.LevelError, "operator not taken", slog.Any("err", err))
	}
}

// account puts one account's claims in force, or notes that they are not.
func (a *applier) account(ctx context.Context, account string, now claims) {
	err := a.enforce(ctx, account, now)
	if err == nil {
		delete(a.failed, account)
		return
	}
	a.failed[account] = now
	a.c.log.LogAttrs(ctx, slog.LevelError, "account claims not in force",
		slog.String("account", account), slog.Int64("rev", now.Revision), slog.Any("err", err))
}

// retry tries again what failed: a new operator JWT, or time, may have helped.
func (a *applier) retry(ctx context.Context) {
	if len(a.failed) == 0 {
		return
	}
	for account, now := range a.failed {
		if a.enforce(ctx, account, now) == nil {
			delete(a.failed, account)
		}
	}
	a.acknowledge()
}

func (a *applier) enforce(ctx context.Context, account string, now claims) error {
	if now.JWT != "" {
		if err := a.c.trust.verify(account, now.JWT); err != nil {
			return err
		}
	}
	has, loaded, wanted := a.c.meet(ctx, account, now)
	if !wanted {
		return nil
	}
	switch {
	case now.JWT == "" && loaded:
		a.sink.DeleteAccount(account, now.Revision)
	case loaded && has != now.Revision:
		if err := a.sink.ApplyAccount(account, now.JWT, now.Revision); err != nil {
			return err
		}
	}
	a.c.settle(ctx, account, now)
	return nil
}

// meet returns what the broker has of account, after waiting for an installation
// that is on its way, and leaves now to a lookup that is.
func (c *Client) meet(ctx context.Context, account string, now claims) (has int64, loaded, wanted bool) {
	c.mu.Lock()
	if f := c.flights[account]; f != nil {
		f.newest = &now
	}
	h := c.accounts[account]
	var installing chan struct{}
	if h != nil {
		installing = h.installing
	}
	c.mu.Unlock()
	if installing != nil {
		patience := time.NewTimer(installWait)
		defer patience.Stop()
		select {
		case <-installing:
		case <-patience.C:
			c.log.LogAttrs(ctx, slog.LevelWarn, "account was looked up and neither held nor dropped",
				slog.String("account", account))
		case <-ctx.Done():
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h = c.accounts[account]
	if h == nil {
		return 0, false, false
	}
	return h.revision, h.loaded, true
}

// settle notes that now is in force, in the cache too. The cache comes before
// the acknowledgement: a restart must not find older claims.
func (c *Client) settle(ctx context.Context, account string, now claims) {
	var err error
	c.mu.Lock()
	h := c.accounts[account]
	switch {
	case h == nil:
	case now.JWT == "":
		c.removeLocked(account)
		err = c.cache.remove(account)
	default:
		h.revision = now.Revision
		err = c.cache.store(account, now)
	}
	c.mu.Unlock()
	if err != nil {
		c.log.LogAttrs(ctx, slog.LevelWarn, "claims cache not written", slog.String("account", account), slog.Any("err", err))
	}
}
