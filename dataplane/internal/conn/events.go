package conn

import (
	"encoding/pem"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/secure"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// Events hears of connections, in the goroutines of their readers.
type Events interface {
	// Connected comes when a client is admitted, or admitted anew. Token is the
	// JWT that it showed, if it did.
	Connected(c *Client, token string)
	// Refused comes when a client showed nothing that lets it in, and why. Last is
	// what is known of it.
	Refused(r *account.Refusal, last func() *Closed)
	// Disconnected comes when a connection has ended; the account is nil if it was
	// in none.
	Disconnected(a *account.Account, last *Closed)
}

// Services answers requests to the broker itself, in the goroutines of the
// readers of those who ask.
type Services interface {
	// Offers reports whether the client may ask by a subject.
	Offers(c *Client, subject []byte) bool
	// Serve answers.
	Serve(m *Message)
}

// ask lets the broker answer, if the message is a request to it.
func (c *Client) ask(op *wire.Op) bool {
	if !hasPrefix(op.Subject, requestPrefix) || c.host.Services == nil || !c.host.Services.Offers(c, op.Subject) {
		return false
	}
	m := &Message{Account: c.identity.Account, From: c, Subject: string(op.Subject), Reply: string(op.Reply)}
	m.Header, m.Body = parts(op)
	c.host.Services.Serve(m)
	return true
}

func (c *Client) welcomed() {
	if c.host.Events != nil {
		c.host.Events.Connected(c, c.connect.JWT)
	}
}

// refused tells of a client that is not who it says. An account that is full is
// no such case.
func (c *Client) refused(r *account.Refusal) {
	if c.host.Events == nil || r == account.TooManyAccountConnections {
		return
	}
	c.host.Events.Refused(r, func() *Closed {
		last := c.obituary()
		last.Reason = r.Reason
		return last
	})
}

// presence is what is known of the connection beside what the client says.
func (c *Client) presence() auth.Presence {
	p := auth.Presence{ID: c.id}
	if t := c.tls.Load(); t != nil {
		p.TLS = encrypted{t}
	}
	return p
}

// encrypted shows a TLS connection to those who decide who a client is.
type encrypted struct{ conn *secure.Conn }

// ClientTLS returns version, cipher and certificates.
func (e encrypted) ClientTLS() *jwt.ClientTLS {
	shown := &jwt.ClientTLS{Version: e.conn.Version(), Cipher: e.conn.CipherSuite()}
	var certs jwt.StringList
	for _, cert := range e.conn.Peers() {
		certs = append(certs, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})))
	}
	if e.conn.Peer() != nil {
		shown.VerifiedChains = []jwt.StringList{certs}
	} else {
		shown.Certs = certs
	}
	return shown
}

// mourn tells that the connection has ended.
func (c *Client) mourn(last *Closed) {
	if c.host.Events == nil || last == nil {
		return
	}
	var a *account.Account
	if c.admitted.Load() {
		a = c.identity.Account
	}
	c.host.Events.Disconnected(a, last)
}

// Kick ends the connection.
func (c *Client) Kick() { c.Disconnect(kicked) }

// LameDuck tells the client to go elsewhere. It reports false if the client would
// not understand.
func (c *Client) LameDuck() bool {
	if !c.asyncInfo.Load() || c.out.Flags.Load()&egress.Closed != 0 {
		return false
	}
	i := c.info()
	i.AuthRequired, i.LameDuckMode = c.host.Auth.Required(), true
	c.out.Control(i.line())
	return true
}
