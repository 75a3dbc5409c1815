// Package outward reaches out to addresses that somebody else chose: identity
// providers and receivers of notifications that tenants name, and the
// operator's own webhooks. Of tenants' choice it never reaches private ones,
// never waits long, and never reads much.
//
// It knows nothing of what is said there. Its clients may be used from many
// goroutines.
package outward

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	answerMax    = 1 << 20 // bytes of one answer
	redirectsMax = 3
)

// NewClient returns a client that connects to public addresses over TLS only,
// whatever names resolve to and wherever it is sent on. within bounds a call.
func NewClient(within time.Duration) *http.Client {
	dialer := &net.Dialer{Timeout: within, Control: refusePrivate}
	return &http.Client{
		Timeout: within,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > redirectsMax || req.URL.Scheme != "https" {
				return errors.New("too many redirects, or one away from https")
			}
			return nil
		},
		Transport: capped{&http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: within, ResponseHeaderTimeout: within,
			MaxIdleConns: 20, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		}},
	}
}

// refusePrivate refuses addresses that are not the public internet's.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read address: %w", err)
	}
	ip := at.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || shared().Contains(ip) {
		return fmt.Errorf("%s is not a public address", ip)
	}
	return nil
}

// shared is what carriers and clouds use inside (RFC 6598).
func shared() netip.Prefix { return netip.MustParsePrefix("100.64.0.0/10") }

// capped cuts answers off that are too long, and speaks TLS only.
type capped struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (c capped) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" {
		return nil, errors.New("not an https address")
	}
	resp, err := c.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, answerMax)
	}
	return resp, err
}

// CloseIdleConnections lets http.Client close what it keeps.
func (c capped) CloseIdleConnections() {
	if t, ok := c.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
