package route

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/internal/lifecycle"
)

// Mesh is a broker's side of its cluster. It hears from the registry which
// accounts are loaded, and from their indexes who wants what.
type Mesh struct {
	// Immutable after New.
	host     *conn.Host
	listener net.Listener

	cfg   atomic.Pointer[Config] // replaced by Reload, never changed
	group *lifecycle.Group       // set by Run before any link exists

	mu      sync.Mutex
	name    string // the cluster's; guarded by mu, as is all below
	dynamic bool
	lame    bool
	nextID  uint64
	links   map[*link]bool // all of them, registered or not
	peers   map[string]*peer
	pending map[place]*link // solicited, and not yet accepted by the peer
	targets map[string]*target
	tenants map[string]*tenant
	counted map[*link]bool // whose counters are not in past yet
	past    Totals         // of links that are over
}

// peer is another broker, by its server id.
type peer struct {
	info  info // what it said on its first link
	links map[slot]*link
}

// slot is which of the connections between two brokers one is: one of the pool,
// or the one of an account.
type slot struct {
	index   int
	account string
}

// place is a slot of a peer.
type place struct {
	peer string
	slot slot
}

// New returns a mesh that accepts from an open listener, once Run is called.
func New(cfg Config, l net.Listener, host *conn.Host) (*Mesh, error) {
	dynamic, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	m := &Mesh{
		host: host, listener: l, name: cfg.Name, dynamic: dynamic,
		links:   make(map[*link]bool),
		peers:   make(map[string]*peer),
		pending: make(map[place]*link),
		targets: make(map[string]*target),
		tenants: make(map[string]*tenant),
		counted: make(map[*link]bool),
	}
	m.cfg.Store(&cfg)
	m.tellClients()
	return m, nil
}

// config is what is in force.
func (m *Mesh) config() *Config { return m.cfg.Load() }

// Addr is where other brokers connect.
func (m *Mesh) Addr() string { return m.listener.Addr().String() }

// Name is the cluster's name now.
func (m *Mesh) Name() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.name
}

func (m *Mesh) address() (host string, port int) {
	host, text, err := net.SplitHostPort(m.Addr())
	if err != nil {
		return m.Addr(), 0
	}
	port, _ = strconv.Atoi(text) // a listener's port is a number
	return host, port
}

// Close closes the listener if Run did not.
func (m *Mesh) Close() error {
	if err := m.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Run keeps the mesh until ctx ends, and then closes every link.
func (m *Mesh) Run(ctx context.Context) error {
	group := lifecycle.NewGroup(ctx)
	m.mu.Lock()
	m.group = group
	m.mu.Unlock()
	m.group.Go(m.accept)
	for _, u := range m.config().Routes {
		m.solicit(u, true, gossipDefault)
	}
	return m.group.Wait()
}

func (m *Mesh) accept(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = m.listener.Close() })
	defer stop()
	pause := lifecycle.Backoff{Min: 10 * time.Millisecond, Max: time.Second}
	for {
		nc, err := m.listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = nc.Close()
			}
			return ctx.Err()
		case err != nil:
			m.config().Log.Error("accepting a route failed", "err", err)
			if pause.Wait(ctx) != nil {
				return ctx.Err()
			}
		default:
			pause.Reset()
			m.group.Side(func(ctx context.Context) error {
				m.newLink(nc, nil, slot{}).run(ctx)
				return nil
			})
		}
	}
}

// Loaded is told by the registry; see account.Watcher.
func (m *Mesh) Loaded(a *account.Account) { m.tenant(a.Key).bind(a) }

// Unloaded is told by the registry; see account.Watcher.
func (m *Mesh) Unloaded(a *account.Account) { m.tenant(a.Key).unbind(a) }

// tenant returns the tenant of an account, made if need be.
func (m *Mesh) tenant(key string) *tenant {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tenants[key]
	if t == nil {
		t = &tenant{key: key}
		m.tenants[key] = t
		for _, p := range m.peers {
			for _, l := range p.links {
				if l.ended.Load() == nil && m.carries(l, key) {
					t.attach(l)
				}
			}
		}
	}
	return t
}

// carries says whether what we send about an account goes over a link.
func (m *Mesh) carries(l *link, key string) bool {
	switch {
	case !l.pooled:
		return true
	case l.config.dedicated(key):
		return l.slot.account == key
	}
	return l.slot.account == "" && l.slot.index == poolIndex(key, l.pool)
}

// poolIndex is the connection of an account, as nats-server computes it.
func poolIndex(key string, size int) int {
	if size <= 1 {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // never fails
	return int(h.Sum32() % uint32(size))
}

// register gives a link whose peer is known its slot, tells the peer of our
// interest and the others of the peer. It returns why not, if it cannot.
func (m *Mesh) register(l *link) *ending {
	m.mu.Lock()
	at := place{l.remote.ID, l.slot}
	if end := m.occupied(l, at); end != nil {
		m.mu.Unlock()
		return end
	}
	if m.pending[at] == l {
		delete(m.pending, at)
	}
	p := m.peers[at.peer]
	if p == nil {
		p = &peer{info: l.remote, links: make(map[slot]*link)}
		m.peers[at.peer] = p
	}
	if l.slot.account != "" || !p.pool() {
		m.gossip(l)
	}
	p.links[at.slot] = l
	tenants := make([]*tenant, 0, len(m.tenants))
	for key, t := range m.tenants {
		if m.carries(l, key) {
			tenants = append(tenants, t)
		}
	}
	m.mu.Unlock()
	for _, t := range tenants {
		t.attach(l)
	}
	m.tellClients()
	m.config().Log.Info("route established", "rid", l.id, "peer", l.remote.ID, "name", l.remote.Name, "addr", l.nc.RemoteAddr().String(),
		"pool_index", l.slot.index, "account", l.slot.account, "solicited", l.solicited())
	return nil
}

// retell tells a peer once more of our interest.
func (m *Mesh) retell(l *link) {
	m.mu.Lock()
	tenants := make([]*tenant, 0, len(m.tenants))
	for key, t := range m.tenants {
		if m.carries(l, key) {
			tenants = append(tenants, t)
		}
	}
	m.mu.Unlock()
	for _, t := range tenants {
		t.retell(l)
	}
}

// occupied says whether a link is one too many. When two of ours connect to each
// other at a time, the connection of the one with the greater id stands; among
// others the first one does.
//
// A name that was given up since the peer's INFO came is another's, too.
func (m *Mesh) occupied(l *link, at place) *ending {
	if l.remote.Cluster != "" && l.remote.Cluster != m.name {
		return nameConflict
	}
	if p := m.peers[at.peer]; p != nil && p.links[at.slot] != nil {
		return duplicate
	}
	if mine := m.pending[at]; mine != nil && mine != l && l.remote.Covey && m.config().ServerID > at.peer {
		return duplicate
	}
	return nil
}

// await notes that the peer of a solicited link is about to be asked, unless
// there is no need to.
func (m *Mesh) await(l *link) *ending {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := place{l.remote.ID, l.slot}
	if end := m.occupied(l, at); end != nil {
		return end
	}
	if m.pending[at] != nil {
		return duplicate
	}
	m.pending[at] = l
	return nil
}

// remove takes a link that has ended out of everything.
func (m *Mesh) remove(l *link) {
	m.mu.Lock()
	delete(m.links, l)
	at := place{l.remote.ID, l.slot}
	if m.pending[at] == l {
		delete(m.pending, at)
	}
	p := m.peers[at.peer]
	if p == nil || p.links[at.slot] != l {
		m.mu.Unlock()
		return
	}
	tenants := make([]*tenant, 0, len(m.tenants))
	for _, t := range m.tenants {
		tenants = append(tenants, t)
	}
	m.mu.Unlock()
	// The slot is free for another link only when nothing of this one is left.
	for _, t := range tenants {
		t.detach(l)
	}
	m.mu.Lock()
	if delete(p.links, at.slot); len(p.links) == 0 {
		delete(m.peers, at.peer)
	}
	m.mu.Unlock()
	m.tellClients()
}

// standing returns the link in a slot of a peer; nil if there is none.
func (m *Mesh) standing(id string, s slot) *link {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.peers[id]; p != nil {
		return p.links[s]
	}
	return nil
}

// tellClients tells our clients of all brokers of the cluster, if that changed.
func (m *Mesh) tellClients() {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &conn.Cluster{Name: m.name, Dynamic: m.dynamic}
	if !m.config().NoAdvertise {
		var others []string
		for _, p := range m.peers {
			if !p.info.LameDuck {
				others = append(others, p.info.ConnectURLs...)
			}
		}
		slices.Sort(others)
		c.URLs = slices.Compact(append(slices.Clone(m.config().ClientURLs), others...))
	}
	if old := m.host.Cluster(); old == nil || old.Name != c.Name || old.Dynamic != c.Dynamic || !slices.Equal(old.URLs, c.URLs) {
		m.host.SetCluster(c)
	}
}

// LameDuck tells the peers that we are going, so that they send no clients.
func (m *Mesh) LameDuck() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lame = true
	m.tellPeers()
}

// pool reports whether one of the pool's links stands.
func (p *peer) pool() bool {
	for s := range p.links {
		if s.account == "" {
			return true
		}
	}
	return false
}

// any returns one link of a peer, of the pool if there is one.
func (p *peer) any() *link {
	var some *link
	for s, l := range p.links {
		if some == nil || s.account == "" {
			some = l
		}
	}
	return some
}

// adopt gives a made-up cluster name up for another's, and closes the links to
// all that still have it. It reports false if the name stays.
func (m *Mesh) adopt(name string, dynamic bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if name == m.name || name == "" {
		return true
	}
	if !m.dynamic || dynamic && name < m.name {
		return false
	}
	m.config().Log.Info("cluster name adopted", slog.String("cluster", name))
	m.name, m.dynamic = name, dynamic
	for _, p := range m.peers {
		for _, l := range p.links {
			if l.remote.Cluster != name {
				l.end(nameConflict)
			}
		}
	}
	return true
}
