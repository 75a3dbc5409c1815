package route

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/coveymq/covey/dataplane/internal/secure"
)

// encrypt does the TLS handshake that a link begins with, if routes are
// encrypted. Both sides show certificates.
func (l *link) encrypt() *ending {
	s := l.config.TLS
	if s == nil {
		return nil
	}
	_ = l.nc.SetDeadline(time.Now().Add(s.Timeout)) // fails only if the connection is closed
	if l.ended.Load() != nil {
		return shutdown
	}
	var conn *secure.Conn
	if l.solicited() {
		conn = secure.Client(l.nc, s, l.config.serverName(l.target.url.Host))
	} else {
		conn = secure.Server(l.nc, s)
	}
	if err := conn.Handshake(s, true); err != nil {
		probe := errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
		return &ending{why: "the TLS handshake failed: " + err.Error(), quiet: probe && !l.solicited()}
	}
	_ = l.nc.SetDeadline(time.Time{}) // as above
	if err := l.out.Secure(conn); err != nil {
		return &ending{why: "the connection cannot be encrypted: " + err.Error()}
	}
	l.secured = true
	l.source = secure.NewReader(l.nc, conn, l.out.Kick)
	return nil
}

// serverName is the name that the certificate of who listens at an address must
// have: for a bare address, of which others told us, that of the first host that
// has a name here.
func (c *Config) serverName(addr string) string {
	host := hostOf(addr)
	if net.ParseIP(host) == nil {
		return host
	}
	for _, u := range c.Routes {
		if h := hostOf(u.Host); h == host {
			return host // it was configured by that address
		}
	}
	for _, u := range c.Routes {
		if h := hostOf(u.Host); net.ParseIP(h) == nil {
			return h
		}
	}
	return host
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}
