package route

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/coveymq/covey/internal/errs"
)

// Reload puts another configuration in force. Routes that are no longer in it
// end, and new ones begin. Where links must be agreed on anew (accounts, pool,
// compression, TLS), they end and are made again. Other permissions hold on the
// links that stand, and of these only those end whose peers connected with what
// is not the user and password any more. Who we are and where we listen does not
// change.
func (m *Mesh) Reload(next Config) error {
	if _, err := next.complete(); err != nil {
		return err
	}
	before := m.config()
	if next.PoolSize != before.PoolSize && next.PoolSize > 0 && before.PoolSize > 0 {
		m.config().Log.Info("Reloaded: cluster pool size", "before", before.PoolSize, "after", next.PoolSize)
	}
	m.mu.Lock()
	if m.group == nil {
		m.mu.Unlock()
		return errs.New(errs.Unavailable, "CLUSTER_NOT_RUNNING", "the cluster is not running yet").WithNext("reload again")
	}
	m.cfg.Store(&next)
	added, removed := changedRoutes(before.Routes, next.Routes)
	for _, u := range removed {
		m.forget(u)
	}
	permits := m.adjust(before, &next)
	m.mu.Unlock()
	for _, permit := range permits {
		permit()
	}
	for _, u := range removed {
		next.Log.Info("Removed route", "route", u)
	}
	for _, u := range added {
		m.solicit(u, true, gossipDefault)
	}
	m.tellClients()
	return nil
}

// adjust makes links what another configuration wants. It returns what is to be
// done without mu. Call it with mu held.
func (m *Mesh) adjust(before, next *Config) (permits []func()) {
	if !before.agrees(next) {
		for l := range m.links {
			l.end(reloaded)
		}
		return nil
	}
	if reflect.DeepEqual(before.Permissions, next.Permissions) {
		m.tellPeers()
	}
	for l := range m.links {
		switch {
		case !l.stands.Load():
			l.end(reloaded) // it was about to stand by what held before
		case !l.solicited() && !next.admits(l.user, l.pass):
			l.end(unauthorized)
		case !reflect.DeepEqual(before.Permissions, next.Permissions):
			var tenants []*tenant
			for key, t := range m.tenants {
				// Interest that the peer tells may be anywhere.
				if m.carries(l, key) || l.pooled {
					tenants = append(tenants, t)
				}
			}
			line := m.info().line()
			permits = append(permits, func() { l.permit(next.allowed, tenants, line) })
		}
	}
	return permits
}

// agrees reports whether links that were made by one configuration may stay with
// another.
func (c *Config) agrees(d *Config) bool {
	return c.PoolSize == d.PoolSize && slices.Equal(c.Accounts, d.Accounts) &&
		reflect.DeepEqual(c.Compression, d.Compression) && c.sameTLS(d) &&
		c.PingInterval == d.PingInterval && c.PingMax == d.PingMax && c.WriteDeadline == d.WriteDeadline && c.Hasty == d.Hasty
}

// sameTLS says whether encryption is the same but for what is in the files.
func (c *Config) sameTLS(d *Config) bool {
	if c.TLS == nil || d.TLS == nil {
		return c.TLS == d.TLS
	}
	return reflect.DeepEqual(c.TLS.Options, d.TLS.Options)
}

func changedRoutes(before, after []URL) (added, removed []URL) {
	for _, u := range after {
		if !slices.Contains(before, u) {
			added = append(added, u)
		}
	}
	for _, u := range before {
		if !slices.Contains(after, u) {
			removed = append(removed, u)
		}
	}
	return added, removed
}

// forget ends a route that is not configured any more, whoever made its links.
// Call it with mu held.
func (m *Mesh) forget(u URL) {
	t := m.targets[strings.ToLower(u.Host)]
	if t == nil {
		return
	}
	delete(m.targets, strings.ToLower(u.Host))
	t.over.Store(true)
	t.cancel()
	id := t.peer.Load()
	for l := range m.links {
		if l.target == t || id != nil && l.remote.ID == *id && l.upgraded.Load() {
			l.end(reloaded)
		}
	}
}

// tellPeers tells the peers what we say of ourselves now. Call it with mu held.
func (m *Mesh) tellPeers() {
	line := m.info().line()
	for _, p := range m.peers {
		if l := p.any(); l != nil {
			l.out.Post(line)
		}
	}
}

// during returns a context that ends with the target, too.
func (t *target) during(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(t.life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}
