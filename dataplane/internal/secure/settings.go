package secure

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

var (
	errNoCertificate = errors.New("TLS needs a certificate: cert_file and key_file")
	errNegative      = errors.New("a time or a rate of TLS is negative")
	errNotPinned     = errors.New("the peer's certificate is not one of the pinned ones")
	errNoCA          = errors.New("no certificate in it")
)

// Settings are Options with the certificates they name. A connection keeps those
// that were in force when it came; a reload makes new ones for those that come
// later.
type Settings struct {
	Options

	config *tls.Config
	pins   map[string]bool
	rate   rate
}

// Load reads the certificates.
func Load(o Options) (*Settings, error) {
	if len(o.Certificates) == 0 {
		return nil, errNoCertificate
	}
	return load(o)
}

// LoadClient returns how one connects to servers: with a certificate only if the
// options name one, and to whom the certificates in CAFile vouch for, or the
// system's.
func LoadClient(o Options) (*tls.Config, error) {
	s, err := load(o)
	if err != nil {
		return nil, err
	}
	s.config.RootCAs, s.config.ClientCAs = s.config.ClientCAs, nil
	s.config.InsecureSkipVerify = o.Insecure //nolint:gosec // asked for by name, and warned of
	return s.config, nil
}

func load(o Options) (*Settings, error) {
	if err := o.problem(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	o.Verify = o.Verify || o.Map
	s := &Settings{Options: o, config: &tls.Config{
		MinVersion:       max(o.MinVersion, tls.VersionTLS12),
		CipherSuites:     o.CipherSuites,
		CurvePreferences: o.Curves,
		// Records are filled: a hand-over is a batch, not a web page.
		DynamicRecordSizingDisabled: true,
	}}
	if o.CipherSuites == nil {
		s.config.CipherSuites = suites()
	}
	if o.Curves == nil {
		s.config.CurvePreferences = strongest()
	}
	if o.Verify {
		s.config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	for _, p := range o.PinnedKeys {
		if s.pins == nil {
			s.pins = make(map[string]bool)
		}
		p, _ = PinnedKey(p) // checked above
		s.pins[p] = true
	}
	return s, s.load()
}

func (s *Settings) load() error {
	for _, p := range s.Certificates {
		pair, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
		if err != nil {
			return fmt.Errorf("certificate %s with key %s: %w", p.CertFile, p.KeyFile, err)
		}
		s.config.Certificates = append(s.config.Certificates, pair)
	}
	if s.CAFile == "" {
		return nil
	}
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	s.config.ClientCAs = x509.NewCertPool()
	if !s.config.ClientCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("certificate authority %s: %w", s.CAFile, errNoCA)
	}
	return nil
}

// checkPin sees whether a client's key is one of the pinned ones.
func (s *Settings) checkPin(peer *x509.Certificate) error {
	if s.pins == nil {
		return nil
	}
	if peer == nil {
		return errNotPinned
	}
	sum := sha256.Sum256(peer.RawSubjectPublicKeyInfo)
	if !s.pins[hex.EncodeToString(sum[:])] {
		return errNotPinned
	}
	return nil
}

// NotAfter is when the first certificate ends.
func (s *Settings) NotAfter() time.Time { return s.config.Certificates[0].Leaf.NotAfter }

// Admit reports whether the rate of handshakes allows one more.
func (s *Settings) Admit() bool { return s.RateLimit == 0 || s.rate.admit(s.RateLimit, time.Now()) }

// rate counts the handshakes of a second.
type rate struct {
	mu    sync.Mutex
	until time.Time // guarded by mu, as is all below
	n     int64
}

func (r *rate) admit(limit int64, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.After(r.until) {
		r.until, r.n = now.Add(time.Second), 0
	}
	r.n++
	return r.n <= limit
}
