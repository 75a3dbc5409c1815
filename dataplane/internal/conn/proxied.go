package conn

import (
	"errors"
	"io"
	"net/netip"
	"syscall"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/proxyproto"
)

// proxyPatience is how long a client may take to send its first bytes where a
// load balancer may stand in between, as in nats-server.
const proxyPatience = 5 * time.Second

// addr is where the client is: what a load balancer says, if there is one.
func (c *Client) addr() netip.AddrPort {
	if a := c.behind.Load(); a != nil {
		return *a
	}
	return c.remote
}

// unwrap reads the header of a load balancer, if there is one. It is looked at
// before it is taken out of the socket, so that nothing behind it is.
func (c *Client) unwrap() *account.Refusal {
	h, err := c.proxyHeader()
	switch {
	case errors.Is(err, proxyproto.ErrNone):
		return nil
	case err == nil:
		err = c.skip(h.Length)
	}
	if err != nil {
		c.host.Log.Warn("the PROXY protocol header of a connection cannot be read", "conn", c.id, "addr", c.remote.String(), "err", err)
		return badProxyHeader
	}
	if h.Source.IsValid() {
		c.behind.Store(&h.Source)
	}
	return nil
}

// proxyHeader looks at what has come until it can tell whether it is a header.
func (c *Client) proxyHeader() (h proxyproto.Header, err error) {
	if c.socket == nil {
		return h, proxyproto.ErrNone // a connection within the process
	}
	raw, err := c.socket.SyscallConn()
	if err != nil {
		return h, err
	}
	if !c.patience(proxyPatience) {
		return h, io.EOF
	}
	defer c.endPatience()
	b := make([]byte, proxyproto.Peek)
	verdict := proxyproto.ErrMore
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, errno := syscall.Recvfrom(int(fd), b, syscall.MSG_PEEK)
			switch {
			case errno == syscall.EINTR:
				continue
			case errno == syscall.EAGAIN:
				return false
			case errno != nil || n == 0:
				verdict = io.ErrUnexpectedEOF
				return true
			}
			h, verdict = proxyproto.Parse(b[:n])
			// More will come, or the deadline.
			return !errors.Is(verdict, proxyproto.ErrMore)
		}
	})
	if err != nil {
		return h, err
	}
	return h, verdict
}

// skip takes bytes out of the socket.
func (c *Client) skip(n int) error {
	if !c.patience(proxyPatience) {
		return io.EOF
	}
	defer c.endPatience()
	var b [512]byte
	for n > 0 {
		took, err := c.nc.Read(b[:min(n, len(b))])
		if n -= took; err != nil {
			return err
		}
	}
	return nil
}
