package fleet

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const (
	identityFile = "identity.json"
	// serverName is in every certificate of the control plane's listeners,
	// whatever address they are reached by.
	serverName = "controlplane.fleet.covey"
)

// storedIdentity is the JSON of identityFile. While the broker enrols it has
// only the key, so that asking again after a lost answer uses the same one.
type storedIdentity struct {
	BrokerID string   `json:"broker_id,omitempty"`
	Key      []byte   `json:"key"`             // PKCS #8, DER
	Chain    [][]byte `json:"chain,omitempty"` // DER, leaf first
	Roots    [][]byte `json:"roots,omitempty"` // DER
}

// identity is who the broker is. Immutable.
type identity struct {
	id    string
	key   *ecdsa.PrivateKey
	roots *x509.CertPool
	cert  *tls.Certificate
}

// identityStore holds the identity; renewal replaces it.
type identityStore struct {
	file    string
	current atomic.Pointer[identity]
}

func (s *identityStore) brokerID() string              { return s.current.Load().id }
func (s *identityStore) roots() *x509.CertPool         { return s.current.Load().roots }
func (s *identityStore) certificate() *tls.Certificate { return s.current.Load().cert }

// due reports whether a third or less of the certificate's life is left.
func (s *identityStore) due(now time.Time) bool {
	leaf := s.certificate().Leaf
	return leaf.NotAfter.Sub(now) < leaf.NotAfter.Sub(leaf.NotBefore)/3
}

// trusts reports whether pin is one of the stored roots.
func (st *storedIdentity) trusts(pin [sha256.Size]byte) bool {
	for _, der := range st.Roots {
		if sha256.Sum256(der) == pin {
			return true
		}
	}
	return false
}

// decode returns the identity if it is whole and its certificate valid at now.
func (st *storedIdentity) decode(now time.Time) (*identity, error) {
	key, err := st.privateKey()
	if err != nil {
		return nil, err
	}
	if len(st.Chain) == 0 || len(st.Roots) == 0 {
		return nil, fmt.Errorf("identity has no certificate")
	}
	leaf, err := x509.ParseCertificate(st.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	roots := x509.NewCertPool()
	for _, der := range st.Roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("parse root: %w", err)
		}
		roots.AddCert(root)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) || leaf.Subject.CommonName != st.BrokerID {
		return nil, fmt.Errorf("certificate is of another broker")
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		return nil, fmt.Errorf("verify certificate: %w", err)
	}
	return &identity{
		id: st.BrokerID, key: key, roots: roots,
		cert: &tls.Certificate{Certificate: st.Chain, PrivateKey: key, Leaf: leaf},
	}, nil
}

func (st *storedIdentity) privateKey() (*ecdsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(st.Key)
	if err != nil {
		return nil, fmt.Errorf("parse identity key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("identity key is a %T", parsed)
	}
	return key, nil
}

func newIdentityKey() (*storedIdentity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate identity key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode identity key: %w", err)
	}
	return &storedIdentity{Key: der}, nil
}

// request makes the certificate request of the identity's key.
func (st *storedIdentity) request(name string) ([]byte, error) {
	key, err := st.privateKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader,
		&x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return der, nil
}

// complete checks an answer to request and returns the whole identity. root is
// the only certificate that may have signed it.
func (st *storedIdentity) complete(resp *fleetv1.EnrolResponse, trusted func([]byte) bool) (*storedIdentity, *identity, error) {
	whole := &storedIdentity{BrokerID: resp.GetBrokerId(), Key: st.Key, Chain: resp.GetCertificateChain()}
	for _, der := range resp.GetControlPlaneRoots() {
		if trusted(der) {
			whole.Roots = append(whole.Roots, bytes.Clone(der))
		}
	}
	id, err := whole.decode(time.Now())
	return whole, id, err
}

func identityPath(dir string) string { return filepath.Join(dir, identityFile) }
