package conn

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/secure"
)

// greet sends INFO, even to who is not admitted, because clients expect it first.
// As the settings say, it does a TLS handshake before or after it. It returns why
// the connection must end, if it must, be it the reason it is given.
func (c *Client) greet(o *Options, r *account.Refusal) *account.Refusal {
	defer func() { c.waited = time.Since(c.start) }()
	t := o.TLS
	if r != nil {
		if t == nil || !t.First {
			c.sendInfo(false)
		}
		return r
	}
	first := t != nil && t.First
	if first && t.Fallback > 0 {
		_, first = c.firstByte(t.Fallback)
	}
	if !first {
		c.sendInfo(false)
	}
	if o.ProxyProtocol {
		if r := c.unwrap(); r != nil {
			return r
		}
	}
	if t == nil {
		return nil
	}
	return c.encrypt(t, first)
}

// encrypt does the TLS handshake, unless the client may do without and does.
func (c *Client) encrypt(t *secure.Settings, first bool) *account.Refusal {
	if !first && t.AllowPlain && !c.opensTLS(t.Timeout) {
		return nil
	}
	if !t.Admit() {
		return throttled
	}
	if err := c.handshake(t, first); err != nil {
		c.logHandshake(err)
		return tlsHandshake
	}
	if first {
		c.sendInfo(true)
	}
	return nil
}

var errInfo = errors.New("the client does not take INFO")

// handshakeRecord is the first byte of every TLS connection.
const handshakeRecord = 0x16

// opensTLS waits for the client's first byte and reports whether it is that of a
// handshake.
func (c *Client) opensTLS(wait time.Duration) bool {
	b, ok := c.firstByte(wait)
	return ok && b == handshakeRecord
}

// firstByte waits for the first byte and leaves it where it is.
func (c *Client) firstByte(wait time.Duration) (b byte, ok bool) {
	if c.socket == nil {
		return 0, false
	}
	raw, err := c.socket.SyscallConn()
	if err != nil || !c.patience(wait) {
		return 0, false
	}
	defer c.endPatience()
	var first [1]byte
	err = raw.Read(func(fd uintptr) bool {
		n, _, err := syscall.Recvfrom(int(fd), first[:], syscall.MSG_PEEK)
		ok = err == nil && n == 1
		return err != syscall.EAGAIN && err != syscall.EINTR
	})
	return first[0], ok && err == nil
}

// patience bounds what is read from the socket next. It reports false when the
// connection is to end.
func (c *Client) patience(wait time.Duration) bool {
	if c.nc.SetDeadline(time.Now().Add(wait)) != nil {
		return false
	}
	// Disconnect notes its reason first and sets its deadline then: either the
	// reason is seen here or that deadline comes after ours.
	return c.refusal.Load() == nil
}

func (c *Client) endPatience() {
	_ = c.nc.SetDeadline(time.Time{}) // fails only if the connection is closed
}

// handshake puts the connection behind TLS.
func (c *Client) handshake(t *secure.Settings, first bool) error {
	c.out.Finish(t.Timeout) // INFO
	if c.out.Pending() > 0 {
		return errInfo
	}
	if !c.patience(t.Timeout) {
		return net.ErrClosed
	}
	defer c.endPatience()
	conn := secure.Server(c.nc, t)
	if err := conn.Handshake(t, first); err != nil {
		return err
	}
	c.connect.Peer = conn.Peer()
	c.tls.Store(conn)
	return c.out.Secure(conn)
}

// logHandshake says why a handshake failed. Who talks no TLS, or nothing, is
// most likely a probe: nobody has to act.
func (c *Client) logHandshake(err error) {
	var notTLS tls.RecordHeaderError
	var ne net.Error
	log := c.host.Log.Warn
	if errors.As(err, &ne) && ne.Timeout() || errors.As(err, &notTLS) && notTLS.Conn != nil || errors.Is(err, io.EOF) {
		log = c.host.Log.Debug
	}
	log("TLS handshake error", "conn", c.id, "addr", c.addr().String(), "err", err, "peer", peers(err))
}

// peers names the certificates that were not believed.
func peers(err error) string {
	var bad *tls.CertificateVerificationError
	if !errors.As(err, &bad) {
		return ""
	}
	names := make([]string, 0, len(bad.UnverifiedCertificates))
	for _, cert := range bad.UnverifiedCertificates {
		names = append(names, fingerprint(cert))
	}
	return strings.Join(names, "; ")
}

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return fmt.Sprintf("%s SHA-256: %s", cert.Subject.String(), hex.EncodeToString(sum[:]))
}

// drainSecure is drain for a connection behind TLS. What is read from the socket
// lies in a buffer of its own until crypto/tls has taken all of it.
func (c *Client) drainSecure(w *worker, fd uintptr) (over bool) {
	in := egress.NewBuffer(readBuffer)
	defer in.Release()
	b, used := c.open()
	if c.slowed.carry {
		c.slowed.carry = false
		b, used = c.work(w, b, used)
	}
	for turn := 0; ; turn++ {
		if c.slowed.wait == 0 {
			b, used = c.decrypt(w, b, used)
		}
		if c.refusal.Load() != nil {
			b.Release()
			return true
		}
		if c.slowed.wait > 0 {
			c.keep(b, used)
			return true
		}
		n, errno := receive(fd, in.B, turn)
		switch {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			c.keep(b, used)
			return false
		case errno != 0:
			c.end(readError)
		case n == 0:
			c.end(clientClosed)
		default:
			c.tls.Load().Feed(in.B[:n])
		}
	}
}

// decrypt works on all that was fed. It returns the buffer to go on with, and
// how much of it is in use.
func (c *Client) decrypt(w *worker, b *egress.Buffer, used int) (*egress.Buffer, int) {
	conn := c.tls.Load()
	for more := true; more && c.refusal.Load() == nil && c.slowed.wait == 0; {
		before := used
		var err error
		for err == nil && used < len(b.B) {
			var n int
			n, err = conn.Read(b.B[used:])
			used += n
		}
		if used > before {
			b, used = c.work(w, b, used)
		}
		switch {
		case err == nil:
		case errors.Is(err, secure.ErrMore):
			more = false
		case errors.Is(err, io.EOF):
			c.end(clientClosed)
		default:
			c.host.Log.Debug("TLS read error", "conn", c.id, "err", err)
			c.end(readError)
		}
	}
	if conn.Busy() {
		c.out.Kick()
	}
	return b, used
}
