package fleet

import (
	"context"
	"crypto/tls"
	"math/big"
)

// RenewNow renews the certificate whatever its age.
func (c *Client) RenewNow(ctx context.Context) error { return c.renewNow(ctx) }

// CertificateSerial is that of the certificate in use.
func (c *Client) CertificateSerial() *big.Int { return c.identity.certificate().Leaf.SerialNumber }

// FleetTLS is for the fleet service itself.
func (c *Client) FleetTLS() *tls.Config { return c.clientTLS(serverName) }
