package stock

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"github.com/nats-io/nats.go"
)

// unconnected says why there is no connection, and where that is a matter of TLS,
// what to do: the staff reads it as the cluster's last error.
func unconnected(err error) error {
	why := advice(err)
	if why == "" {
		return fmt.Errorf("connect: %w", err)
	}
	return fmt.Errorf("connect: %w: %s", err, why)
}

func advice(err error) string {
	if errors.Is(err, nats.ErrSecureConnWanted) {
		return "the server offers no TLS; configure it there, or add the cluster by nats:// without certificates if the way to it is this machine's own"
	}
	if _, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		return "the server's certificate is of another authority than those that are trusted; add the cluster with --tls-ca and the file of its own"
	}
	if _, is := errors.AsType[x509.HostnameError](err); is {
		return "the server's certificate is for other names; add the cluster with a --url that the certificate names"
	}
	if _, is := errors.AsType[*tls.CertificateVerificationError](err); is {
		return "the server's certificate is not good"
	}
	// A server that does not take a certificate of ours says so in TLS, before any
	// word of NATS, or is gone before that is read.
	if e, is := errors.AsType[*net.OpError](err); is && e.Op == "remote error" || errors.Is(err, nats.ErrTLS) {
		return "the server seems to want a certificate of its clients, and got none, or one that it does not take; add the cluster with --tls-cert and --tls-key of one by its authority"
	}
	return ""
}
