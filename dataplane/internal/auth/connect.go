// Package auth decides who a connection is.
//
// It verifies each user JWT once, outside of every lock that connections share,
// and answers with an account.Identity or with an *account.Refusal that says
// what to tell the client and what to log. It reads no sockets and keeps no
// connections.
package auth

import (
	"crypto/x509"

	"github.com/nats-io/jwt/v2"
)

// Connect is what a client says of itself in CONNECT. The fields and defaults
// are those of nats-server.
type Connect struct {
	Echo         bool   `json:"echo"`
	Verbose      bool   `json:"verbose"`
	Pedantic     bool   `json:"pedantic"`
	TLSRequired  bool   `json:"tls_required"`
	Nkey         string `json:"nkey,omitempty"`
	JWT          string `json:"jwt,omitempty"`
	Sig          string `json:"sig,omitempty"`
	Token        string `json:"auth_token,omitempty"`
	Username     string `json:"user,omitempty"`
	Password     string `json:"pass,omitempty"`
	Name         string `json:"name"`
	Lang         string `json:"lang"`
	Version      string `json:"version"`
	Protocol     int    `json:"protocol"`
	Account      string `json:"account,omitempty"`
	AccountNew   bool   `json:"new_account,omitempty"`
	Headers      bool   `json:"headers,omitempty"`
	NoResponders bool   `json:"no_responders,omitempty"`

	// Peer is the certificate that the client showed, checked against the
	// authorities of the configuration; nil if it showed none. It is not from
	// CONNECT.
	Peer *x509.Certificate `json:"-"`
	// Presence is what the broker knows of the connection. It is not from CONNECT.
	Presence Presence `json:"-"`
}

// Presence is what the broker knows of a connection by itself.
type Presence struct {
	ID  uint64
	TLS Encrypted // nil in clear
}

// Encrypted tells how a connection is encrypted.
type Encrypted interface {
	ClientTLS() *jwt.ClientTLS
}

// DefaultConnect is what holds before CONNECT, and for fields it leaves out.
func DefaultConnect() Connect { return Connect{Echo: true, Verbose: true, Pedantic: true} }

// showsNothing reports whether the client shows neither a user nor a secret. A
// key counts only where keys are asked for.
func (c *Connect) showsNothing() bool {
	return c.Username == "" && c.Password == "" && c.Token == ""
}

// HiddenToken stands for a token where users are shown.
const HiddenToken = "[REDACTED]"

// ShowsNobody reports whether the client shows nothing at all of who it is.
func (c *Connect) ShowsNobody() bool {
	return c.showsNothing() && c.Nkey == "" && c.JWT == "" && c.Sig == ""
}

// Claims returns who the client says it is, checked or not; empty if it does not
// say. It reveals no secret.
func (c *Connect) Claims() string {
	switch {
	case c.Nkey != "":
		return c.Nkey
	case c.Username != "":
		return c.Username
	case c.JWT != "":
		if claims, err := jwt.DecodeUserClaims(c.JWT); err == nil {
			return claims.Subject
		}
		return ""
	case c.Token != "":
		return HiddenToken
	}
	return ""
}

// named returns what the client calls itself, which a service that admits it under no
// other name has agreed to; empty if nothing.
func (c *Connect) named() string {
	switch {
	case c.Nkey != "":
		return c.Nkey
	case c.Username != "":
		return c.Username
	case c.Token != "":
		return HiddenToken
	}
	return ""
}

// Forget drops what was only needed to authenticate.
func (c *Connect) Forget() {
	c.Nkey, c.JWT, c.Sig, c.Token, c.Username, c.Password = "", "", "", "", "", ""
}
