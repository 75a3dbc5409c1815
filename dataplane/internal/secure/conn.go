package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"time"
)

// RecordMax is how much one TLS record holds.
const RecordMax = 16 << 10

// ErrMore says that Read has nothing to return before more is fed.
var ErrMore error = moreError{}

// moreError is temporary, so that crypto/tls takes it as an invitation to come
// again.
type moreError struct{}

// Error says what is missing.
func (moreError) Error() string { return "more input is needed" }

// Timeout is true, as of all that asks for patience.
func (moreError) Timeout() bool { return true }

// Temporary is true.
func (moreError) Temporary() bool { return true }

// Conn is one side of a TLS connection: the server's, or among brokers the
// client's.
type Conn struct {
	// Immutable after Handshake.
	tls     *tls.Conn
	peers   []*x509.Certificate
	version uint16
	suite   uint16
	first   bool

	pipe pipe
}

// Server returns a connection that is to do its handshake over nc.
func Server(nc net.Conn, s *Settings) *Conn {
	c := &Conn{pipe: pipe{nc: nc}}
	c.tls = tls.Server(&c.pipe, s.config)
	return c
}

// Handshake does the handshake. It reads from and writes to the socket, as long
// as the socket's deadlines allow; nobody else may until it returns.
func (c *Conn) Handshake(s *Settings, first bool) error {
	if err := c.tls.Handshake(); err != nil { //nolint:noctx // the deadlines of the socket bound it
		return err
	}
	state := c.tls.ConnectionState()
	c.version, c.suite, c.first = state.Version, state.CipherSuite, first
	c.peers = state.PeerCertificates
	c.pipe.detach()
	return s.checkPin(c.Peer())
}

// Peer returns the certificate that the client showed, or nil.
func (c *Conn) Peer() *x509.Certificate {
	if len(c.peers) == 0 {
		return nil
	}
	return c.peers[0]
}

// Peers returns all certificates that the client showed, its own first.
func (c *Conn) Peers() []*x509.Certificate { return c.peers }

// Version returns the version of TLS as nats-server writes it: 1.2 or 1.3.
func (c *Conn) Version() string {
	switch c.version {
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS13:
		return "1.3"
	}
	return tls.VersionName(c.version)
}

// CipherSuite returns the name of the cipher suite.
func (c *Conn) CipherSuite() string { return tls.CipherSuiteName(c.suite) }

// First reports whether the handshake came before INFO.
func (c *Conn) First() bool { return c.first }

// Feed gives Read what came from the socket. It must be left alone until Read
// returns ErrMore.
func (c *Conn) Feed(b []byte) { c.pipe.in = b }

// Read returns what the client sent, decrypted: ErrMore when it needs to be fed,
// io.EOF when the client has said that nothing follows. It may return both data
// and an error.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.tls.Read(b)
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return n, err
	case errors.Is(err, ErrMore):
		return n, ErrMore
	}
	return n, err
}

// Seal encrypts at most RecordMax bytes as one record and adds it to what is
// unsent. It returns the position, counted from the beginning of the
// connection, up to which the record reaches.
func (c *Conn) Seal(plain []byte) (end int64, err error) {
	if _, err := c.tls.Write(plain); err != nil {
		return 0, err
	}
	return c.pipe.added(), nil
}

// Reserve makes room for so many bytes that are to be sealed.
func (c *Conn) Reserve(n int) { c.pipe.reserve(n) }

// Unsent returns what is encrypted and not sent. It stays valid until Sent.
func (c *Conn) Unsent() []byte { return c.pipe.unsent() }

// Busy reports whether anything is unsent. Anyone may ask.
func (c *Conn) Busy() bool { return c.pipe.busy.Load() }

// Sent takes the first n bytes off what is unsent. It returns the position up
// to which everything is sent.
func (c *Conn) Sent(n int) int64 { return c.pipe.sent(n) }

// Drop forgets what is unsent.
func (c *Conn) Drop() { c.pipe.drop() }

// CloseNotify adds the alert that says that nothing follows.
func (c *Conn) CloseNotify() {
	_ = c.tls.CloseWrite() // fails only if the connection is broken already
}

// deadlines are what crypto/tls wants of a connection. It uses them to bound
// writes, which never block here.
type deadlines struct{}

// SetDeadline does nothing.
func (deadlines) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (deadlines) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (deadlines) SetWriteDeadline(time.Time) error { return nil }
