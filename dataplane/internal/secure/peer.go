package secure

import (
	"crypto/tls"
	"net"
)

// LoadPeer reads the certificates of one who is a server to some and a client to
// others, as brokers are among each other: each side must show a certificate that
// one authority has signed.
func LoadPeer(o Options) (*Settings, error) {
	o.Verify = true
	s, err := Load(o)
	if err != nil {
		return nil, err
	}
	s.config.RootCAs = s.config.ClientCAs
	s.config.InsecureSkipVerify = o.Insecure //nolint:gosec // asked for by name, and warned of
	return s, nil
}

// Client returns a connection that is to do its handshake over nc as the side
// that connected, with a server of that name.
func Client(nc net.Conn, s *Settings, name string) *Conn {
	c := &Conn{pipe: pipe{nc: nc}}
	config := s.config.Clone()
	config.ServerName = name
	c.tls = tls.Client(&c.pipe, config)
	return c
}

// Reader reads from a socket what its peer sent through TLS. It belongs to one
// goroutine.
type Reader struct {
	nc   net.Conn
	conn *Conn
	kick func() // called when TLS has something to say of its own accord
	in   []byte
	more bool // conn must be fed
}

// cipherBuffer is what a Reader takes from the socket at once: some records.
const cipherBuffer = 64 << 10

// NewReader returns a Reader of a connection whose handshake is over.
func NewReader(nc net.Conn, conn *Conn, kick func()) *Reader {
	return &Reader{nc: nc, conn: conn, kick: kick, in: make([]byte, cipherBuffer)}
}

// Read returns decrypted bytes as soon as there are any.
func (r *Reader) Read(b []byte) (int, error) {
	for {
		if r.more {
			n, err := r.nc.Read(r.in)
			if n == 0 {
				return 0, err
			}
			r.conn.Feed(r.in[:n])
		}
		n, err := r.conn.Read(b)
		r.more = err == ErrMore //nolint:errorlint // Conn.Read returns just that
		if r.more {
			err = nil
		}
		if r.conn.Busy() {
			r.kick()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}
