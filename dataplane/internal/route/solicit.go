package route

import (
	"context"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/coveymq/covey/internal/lifecycle"
)

// target is a broker that we connect to: configured, or learned of.
type target struct {
	// Immutable.
	mesh     *Mesh
	url      URL
	explicit bool
	gossip   int
	life     context.Context //nolint:containedctx // cancels the target's own keepers when the route is not wanted any more
	cancel   context.CancelFunc

	peer atomic.Pointer[string] // the server id there, once it is known
	over atomic.Bool            // given up

	mu      sync.Mutex
	started map[slot]bool // the slots that somebody keeps filled; guarded by mu
}

// retriesMin is how often a broker that we learned of, and lost, is tried.
const retriesMin = 10

// solicit keeps links to a broker until ctx ends or, if it is not configured,
// the broker cannot be reached for long.
func (m *Mesh) solicit(u URL, explicit bool, gossip int) {
	key := strings.ToLower(u.Host)
	t := &target{mesh: m, url: u, explicit: explicit, gossip: gossip, started: make(map[slot]bool)}
	t.life, t.cancel = context.WithCancel(context.Background())
	m.mu.Lock()
	known := m.targets[key] != nil
	if !known {
		m.targets[key] = t
	}
	m.mu.Unlock()
	if known {
		t.cancel()
		return
	}
	t.started[slot{}] = true
	m.group.Side(func(ctx context.Context) error {
		t.keep(ctx, slot{})
		t.over.Store(true)
		t.cancel()
		m.mu.Lock()
		if m.targets[key] == t {
			delete(m.targets, key)
		}
		m.mu.Unlock()
		return nil
	})
}

// keep keeps one slot filled. Who else fills it does not matter.
func (t *target) keep(ctx context.Context, s slot) {
	ctx, release := t.during(ctx)
	defer release()
	pause := lifecycle.Backoff{Min: retryMin, Max: t.mesh.config().retryBound()}
	for tries := 0; ctx.Err() == nil && !t.over.Load() && t.mesh.config().has(s); tries++ {
		if id := t.peer.Load(); id != nil {
			if l := t.mesh.standing(*id, s); l != nil {
				t.adopt(ctx, l)
				pause.Reset()
				tries = 0
				if pause.Wait(ctx) != nil {
					return
				}
				continue
			}
		}
		switch stood, e := t.dial(ctx, s, tries+1); {
		case e == toSelf || e == noPool:
			return
		case stood:
			pause.Reset()
			tries = 0
		}
		if !t.explicit && tries >= max(t.mesh.config().ConnectRetries, retriesMin) {
			t.mesh.config().Log.Warn("route given up", "addr", t.url.Host)
			return
		}
		if pause.Wait(ctx) != nil {
			return
		}
	}
}

// adopt waits while a link that is not ours stands.
func (t *target) adopt(ctx context.Context, l *link) {
	if t.explicit {
		l.upgraded.Store(true)
	}
	t.grow(l)
	select {
	case <-l.done:
	case <-ctx.Done():
	}
}

// dial makes a link and runs it. It returns whether it was ever established, and
// why it ended, which is nil if there was nobody to talk to.
func (t *target) dial(ctx context.Context, s slot, attempt int) (stood bool, e *ending) {
	d := net.Dialer{Timeout: dialTimeout}
	nc, err := d.DialContext(ctx, "tcp", t.url.Host)
	if err != nil {
		level := slog.LevelDebug
		if ctx.Err() == nil && t.reports(attempt) {
			level = slog.LevelError
		}
		t.mesh.config().Log.Log(ctx, level, "route not reached", "addr", t.url.Host, "attempt", attempt, "err", err)
		return false, nil
	}
	l := t.mesh.newLink(nc, t, s)
	l.run(ctx)
	if l.remote.ID != "" {
		t.peer.Store(&l.remote.ID)
	}
	return l.stands.Load(), l.ended.Load()
}

// reports says whether an attempt that failed is worth an error.
func (t *target) reports(attempt int) bool {
	every := t.mesh.config().ReconnectReports
	if t.peer.Load() == nil {
		every = t.mesh.config().ConnectReports
	}
	return attempt == 1 || attempt%every == 0
}

// grow sees to the other slots of a peer to which one link stands.
func (t *target) grow(l *link) {
	t.peer.Store(&l.remote.ID)
	if !l.pooled {
		return
	}
	for i := range max(t.mesh.config().PoolSize, l.remote.PoolSize) {
		t.start(slot{index: i})
	}
	for _, acct := range append([]string{t.mesh.config().SystemAccount}, t.mesh.config().Accounts...) {
		if acct != "" {
			t.start(slot{account: acct})
		}
	}
}

func (t *target) start(s slot) {
	t.mu.Lock()
	started := t.started[s]
	t.started[s] = true
	t.mu.Unlock()
	if started {
		return
	}
	t.mesh.group.Side(func(ctx context.Context) error {
		t.keep(ctx, s)
		t.mu.Lock()
		delete(t.started, s)
		t.mu.Unlock()
		return nil
	})
}

// gossip tells the other peers of a new one, by nats-server's rules, which keep
// a mesh from telling everybody of everybody. Call it with mu held.
func (m *Mesh) gossip(l *link) {
	learned := l.solicited() && !l.explicit()
	if learned && l.gossip != gossipOverride || l.remote.Gossip == gossipDisabled {
		return
	}
	i := l.remote
	i.Account = l.slot.account
	for id, p := range m.peers {
		if id == l.remote.ID {
			continue
		}
		r := p.links[l.slot]
		if r == nil || i.Account == "" {
			r = p.any()
		}
		if r != nil && (i.Account == "" || r.pooled) {
			i.Gossip = gossipMode(l, r)
			r.out.Post(i.line())
		}
	}
}

// gossipMode says what the peer of r is to do about the peer of l.
func gossipMode(l, r *link) int {
	switch {
	case l.solicited() && l.explicit(), !l.solicited() && r.explicit():
		return gossipOverride
	case !l.solicited():
		return gossipDisabled
	}
	return gossipDefault
}

// heard connects to a broker that a peer told us of, unless we have it. One that
// has come with the connection of an account alone was told of us for that one, and
// may not hear of us again.
func (m *Mesh) heard(i *info) {
	if i.ID == m.config().ServerID || i.Account != "" {
		return // the slot of an account is filled by who fills the others
	}
	m.mu.Lock()
	p := m.peers[i.ID]
	known := p != nil && p.pool()
	m.mu.Unlock()
	if known {
		return
	}
	at, err := url.Parse(i.IP)
	if err != nil || at.Host == "" {
		m.config().Log.Warn("a peer told of a broker without an address", "peer", i.ID)
		return
	}
	u := URL{Host: at.Host}
	if i.AuthRequired {
		u.User, u.Password = m.config().User, m.config().Password
	}
	m.solicit(u, false, i.Gossip)
}
