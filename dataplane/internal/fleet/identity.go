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
	"slices"
	"sync/atomic"
	"time"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const (
	identityFile = "identity.json"
	// serverName is in every certificate of the control plane's listeners,
	// whatever address they are reached by.
	serverName = "controlplane.fleet.covey"
	// collectorName is in the certificate of every collector of usage.
	collectorName = "collector.fleet.covey"
)

// storedIdentity is the JSON of identityFile. While the broker enrols it has
// only the key, so that asking again after a lost answer uses the same one.
type storedIdentity struct {
	BrokerID string   `json:"broker_id,omitempty"`
	Key      []byte   `json:"key"`             // PKCS #8, DER
	Chain    [][]byte `json:"chain,omitempty"` // DER, leaf first
	Roots    [][]byte `json:"roots,omitempty"` // DER
	// Former has the SHA-256 of roots of the same fleet from before: a join token
	// that names one of them is no reason to enrol anew.
	Former [][]byte `json:"former,omitempty"`
}

// identity is who the broker is. Immutable.
type identity struct {
	id    string
	key   *ecdsa.PrivateKey
	roots *x509.CertPool
	cert  *tls.Certificate
	// trusts has the SHA-256 of the roots, the one first that signed the
	// certificate.
	trusts [][]byte
}

// identityStore holds the identity; renewal replaces it.
type identityStore struct {
	file    string
	current atomic.Pointer[identity]
	// wanted is what the control plane said last that trusts is to be; empty if it
	// did not say.
	wanted atomic.Pointer[[][]byte]
	asked  chan struct{} // one slot: wanted has changed
}

func newIdentityStore(file string) *identityStore {
	s := &identityStore{file: file, asked: make(chan struct{}, 1)}
	s.wanted.Store(&[][]byte{})
	return s
}

// want notes what the control plane says that is to be trusted.
func (s *identityStore) want(fingerprints [][]byte) {
	s.wanted.Store(&fingerprints)
	if !s.settled() {
		select {
		case s.asked <- struct{}{}:
		default:
		}
	}
}

// settled reports whether the identity is as the control plane wants it.
func (s *identityStore) settled() bool {
	wanted, trusts := *s.wanted.Load(), s.trusts()
	if len(wanted) == 0 {
		return true // it does not say
	}
	same := func(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }
	return bytes.Equal(wanted[0], trusts[0]) &&
		same(slices.SortedFunc(slices.Values(wanted), bytes.Compare), slices.SortedFunc(slices.Values(trusts), bytes.Compare))
}

// trusts is what Hello and heartbeats tell.
func (s *identityStore) trusts() [][]byte { return s.current.Load().trusts }

func (s *identityStore) brokerID() string              { return s.current.Load().id }
func (s *identityStore) roots() *x509.CertPool         { return s.current.Load().roots }
func (s *identityStore) certificate() *tls.Certificate { return s.current.Load().cert }

// due reports whether a third or less of the certificate's life is left.
func (s *identityStore) due(now time.Time) bool {
	leaf := s.certificate().Leaf
	return leaf.NotAfter.Sub(now) < leaf.NotAfter.Sub(leaf.NotBefore)/3
}

// trusts reports whether pin is one of the stored roots, or was.
func (st *storedIdentity) trusts(pin [sha256.Size]byte) bool {
	for _, der := range st.Roots {
		if sha256.Sum256(der) == pin {
			return true
		}
	}
	return slices.ContainsFunc(st.Former, func(sum []byte) bool { return bytes.Equal(sum, pin[:]) })
}

// follow notes which roots there were before.
func (st *storedIdentity) follow(old *storedIdentity) {
	st.Former = old.Former
	for _, der := range old.Roots {
		sum := sha256.Sum256(der)
		if !st.trusts(sum) {
			st.Former = append(st.Former, sum[:])
		}
	}
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
	var trusts [][]byte
	for _, der := range st.Roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("parse root: %w", err)
		}
		roots.AddCert(root)
		sum := sha256.Sum256(der)
		if leaf.CheckSignatureFrom(root) == nil {
			trusts = slices.Insert(trusts, 0, sum[:])
		} else {
			trusts = append(trusts, sum[:])
		}
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
		id: st.BrokerID, key: key, roots: roots, trusts: trusts,
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

// complete checks an answer to request and returns the whole identity. It comes
// from a control plane that was verified, by the pin of a join token or by what
// was trusted before: so what it says is to be trusted is.
func (st *storedIdentity) complete(resp *fleetv1.EnrolResponse) (*storedIdentity, *identity, error) {
	whole := &storedIdentity{BrokerID: resp.GetBrokerId(), Key: st.Key, Chain: resp.GetCertificateChain()}
	for _, der := range resp.GetControlPlaneRoots() {
		whole.Roots = append(whole.Roots, bytes.Clone(der))
	}
	id, err := whole.decode(time.Now())
	return whole, id, err
}

func identityPath(dir string) string { return filepath.Join(dir, identityFile) }
