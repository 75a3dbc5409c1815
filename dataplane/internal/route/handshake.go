package route

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// greet sends the INFO that an accepted connection begins with.
func (l *link) greet() {
	l.mesh.mu.Lock()
	line := l.mesh.info().line()
	l.mesh.mu.Unlock()
	l.out.Control(line)
}

// processConnect handles the CONNECT of an accepted connection.
func (l *link) processConnect(arg []byte) *ending {
	var c connect
	if json.Unmarshal(arg, &c) != nil || l.connected || l.solicited() {
		return badHandshake
	}
	if c.Lang != "" {
		return wrongPort
	}
	l.user, l.pass = c.User, Secret(c.Pass)
	if !l.config.admits(l.user, l.pass) {
		return unauthorized
	}
	if c.Cluster != "" && !l.mesh.adopt(c.Cluster, c.Dynamic) {
		return nameConflict
	}
	l.connected = true
	return nil
}

// admits reports whether who shows a user and a password may join.
func (c *Config) admits(user string, pass Secret) bool {
	if c.User == "" && c.Password == "" {
		return true
	}
	same := subtle.ConstantTimeCompare([]byte(user), []byte(c.User))
	return same&subtle.ConstantTimeCompare([]byte(pass.Reveal()), []byte(c.Password.Reveal())) == 1
}

// processInfo handles INFO: the first one, which says who the peer is, or a
// later one.
func (l *link) processInfo(arg []byte) *ending {
	var i info
	if json.Unmarshal(arg, &i) != nil {
		return badHandshake
	}
	if l.known {
		return l.news(&i)
	}
	l.remote = i
	if e := l.meet(&i); e != nil {
		return e
	}
	if again, e := l.negotiate(&i); again || e != nil {
		return e
	}
	if e := l.settle(&i); e != nil {
		return e
	}
	l.known = true
	l.exports = i.Export
	if !i.Headers {
		l.out.Flags.Or(egress.NoHeaders)
	}
	if l.remote.IP == "" {
		l.remote.IP = l.reachable(&i)
	}
	if l.solicited() {
		return l.ask()
	}
	return l.establish()
}

// meet says whether there can be a link to a peer.
func (l *link) meet(i *info) *ending {
	m := l.mesh
	switch {
	case i.ID == m.config().ServerID:
		return toSelf
	case i.TLSRequired && !l.secured:
		return tlsRequired
	case !l.solicited() && i.Name == m.config().ServerName:
		return sameName
	}
	if !m.adopt(i.Cluster, i.Dynamic) {
		if l.solicited() {
			l.out.Control(l.hello()) // so that a peer with a made-up name takes ours
		}
		return nameConflict
	}
	return nil
}

// settle says which of the links to a peer this one is.
func (l *link) settle(i *info) *ending {
	l.pooled = l.config.PoolSize > 0 && i.PoolSize > 0
	size := max(l.config.PoolSize, i.PoolSize)
	l.pool = spread(l.config.PoolSize, i)
	e := l.place(i, size)
	if l.solicited() {
		e = l.fits(i, size)
	}
	if e == nil && l.slot.account != "" {
		l.parser.Dedicated = true
		l.out.Flags.Or(egress.Dedicated)
	}
	return e
}

// spread is over how many connections accounts spread: as many as the peer says,
// so that what we tell of an account goes over the connection on which the peer
// tells of it. If they were two, a request could overtake the interest in its
// answer: it goes where the other side's interest came from. Two of ours could
// never agree by following each other, and both take the larger number.
func spread(own int, peer *info) int {
	if peer.Covey {
		return max(own, peer.PoolSize)
	}
	return peer.PoolSize
}

// fits says whether the slot that we chose exists at the peer.
func (l *link) fits(i *info, size int) *ending {
	switch {
	case !l.pooled && l.slot != slot{}, l.slot.index >= max(size, 1):
		return noPool
	case l.pooled && i.PoolIndex != 0:
		return badPoolIndex
	}
	return nil
}

// place takes the slot that the peer of an accepted connection chose.
func (l *link) place(i *info, size int) *ending {
	switch {
	case l.solicited():
	case i.Account != "" && !l.pooled:
		return noDedicated
	case i.Account != "" && !l.config.dedicated(i.Account):
		return &ending{text: fmt.Sprintf("No route for account %q", i.Account), why: "the peer has a dedicated route for an account that has none here"}
	case i.Account != "":
		l.slot = slot{account: i.Account}
	case l.pooled && (i.PoolIndex < 0 || i.PoolIndex >= size):
		return badPoolIndex
	case l.pooled:
		l.slot = slot{index: i.PoolIndex}
	}
	return nil
}

// reachable is where others can reach the peer, as far as we can see.
func (l *link) reachable(i *info) string {
	host, _, err := net.SplitHostPort(l.nc.RemoteAddr().String())
	if err != nil {
		host = i.Host
	}
	return "nats-route://" + net.JoinHostPort(host, strconv.Itoa(i.Port)) + "/"
}

func (l *link) hello() []byte {
	m := l.mesh
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &connect{
		Echo: true, User: l.target.url.User, Pass: l.target.url.Password.Reveal(), Headers: !m.config().NoHeaders,
		Name: m.config().ServerID, Cluster: m.name, Dynamic: m.dynamic, TLS: l.secured,
	}
	return c.line()
}

// ask sends what the peer needs to accept the link. Its first answer that is
// more than INFO says that it did.
func (l *link) ask() *ending {
	m := l.mesh
	if e := m.await(l); e != nil {
		return e
	}
	var lines []byte
	if mode := l.compression.Load(); !compresses(*mode) {
		lines = l.hello()
	}
	m.mu.Lock()
	i := m.info()
	m.mu.Unlock()
	i.PoolIndex, i.Account, i.Gossip = l.slot.index, l.slot.account, l.gossip
	i.Compression = *l.compression.Load()
	if l.auto {
		i.Compression = CompressionS2Auto
	}
	if !l.pooled {
		i.PoolSize = 0
	}
	lines = append(append(lines, i.line()...), wire.PingLine...)
	l.pingSent.Store(time.Now().UnixNano())
	l.out.Control(lines)
	return nil
}

// establish registers the link.
func (l *link) establish() *ending {
	if e := l.mesh.register(l); e != nil {
		return e
	}
	l.registered = true
	l.stands.Store(true)
	l.deadline(time.Time{})
	l.mesh.group.Side(l.keepAlive)
	if l.target != nil {
		l.target.grow(l)
	}
	return nil
}

// news handles a later INFO.
func (l *link) news(i *info) *ending {
	m := l.mesh
	if i.ID == l.remote.ID && !i.LameDuck {
		l.says.Store(i)
	}
	switch {
	case i.AccountRequest != "":
		return accountReload
	case i.Gateway != "":
		m.config().Log.Warn("a peer told of a gateway; gateways are not supported", "rid", l.id, "gateway", i.Gateway)
	case i.ID != l.remote.ID:
		m.heard(i)
	case !i.LameDuck && !bytes.Equal(i.Export, l.exports):
		// The peer refused some of what we told, and may take it now.
		l.exports = i.Export
		m.retell(l)
	case i.LameDuck:
		m.mu.Lock()
		if p := m.peers[i.ID]; p != nil {
			p.info.LameDuck = true
		}
		m.mu.Unlock()
		m.tellClients()
	}
	return nil
}
