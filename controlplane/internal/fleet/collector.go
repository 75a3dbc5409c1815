package fleet

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/coveymq/covey/internal/errs"
)

// CollectorName is in the certificate of every collector of usage. Brokers accept
// it where they report usage, and nowhere else.
const CollectorName = "collector.fleet.covey"

// collectorPrefix begins the common name of a collector's certificate, so that it
// is none of a broker.
const collectorPrefix = "collector_"

// collectorCertificateLife is for who renews by a timer of his own.
const collectorCertificateLife = 90 * 24 * time.Hour

// CollectorCertificate is a certificate for a collector of usage.
type CollectorCertificate struct {
	Chain     [][]byte // DER, leaf first
	Roots     [][]byte // DER: by which it knows brokers and control planes
	Authority string   // that signed it
	Expires   time.Time
}

// CollectorCertificate signs for a collector, which brokers report to and which
// reports to control planes.
func (s *Service) CollectorCertificate(ctx context.Context, name string, request []byte) (CollectorCertificate, error) {
	var out CollectorCertificate
	csr, err := parseRequest(request)
	if err != nil {
		return out, errs.New(errs.Invalid, "INVALID_FIELD", "the certificate request: %v", err).WithField("certificate_request")
	}
	template, err := newTemplate(collectorPrefix+name, collectorCertificateLife)
	if err != nil {
		return out, err
	}
	template.DNSNames = append([]string{CollectorName}, csr.DNSNames...)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	set := s.authorities.Load()
	for _, host := range csr.DNSNames {
		if host == ServerName || host == CollectorName {
			return out, errs.New(errs.Invalid, "INVALID_FIELD", "the certificate request asks for the name %q", host).WithField("certificate_request")
		}
	}
	out.Chain, err = set.active().sign(ctx, template, csr.PublicKey)
	out.Roots, out.Authority, out.Expires = set.roots(), set.active().id(), template.NotAfter
	return out, err
}
