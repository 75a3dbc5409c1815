package secure

import (
	"crypto/tls"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Defaults of nats-server.
const (
	DefaultTimeout  = 2 * time.Second
	DefaultFallback = 50 * time.Millisecond // of handshake_first: auto
)

// KeyPair names the files of a certificate, with those that lead to its root,
// and of its key.
type KeyPair struct {
	CertFile, KeyFile string
}

// Options are what a `tls` block of the configuration says.
type Options struct {
	// Certificates are offered to clients: the first that fits.
	Certificates []KeyPair
	// CAFile is whose certificates clients may have; empty for the system's.
	CAFile string
	// Verify demands a certificate of clients.
	Verify bool
	// Map finds the user by the certificate. It implies Verify.
	Map bool
	// PinnedKeys, if there are any, are the only keys that clients may have: the
	// SHA-256 of the DER of a public key, in hexadecimal.
	PinnedKeys []string
	// CipherSuites and Curves are what may be used; nil for nats-server's. The
	// suites of TLS 1.3 are not up to choice.
	CipherSuites []uint16
	Curves       []tls.CurveID
	// MinVersion is the oldest TLS that is spoken; 0 for 1.2.
	MinVersion uint16
	// Timeout bounds the handshake; 0 for the default.
	Timeout time.Duration
	// First demands the handshake before INFO. With a Fallback, only of clients
	// that begin it within that time.
	First    bool
	Fallback time.Duration
	// Insecure believes any server that one connects to.
	Insecure bool
	// AllowPlain admits clients without TLS as well.
	AllowPlain bool
	// RateLimit bounds the handshakes of a second; 0 for no limit.
	RateLimit int64
}

// curves are those that have a name in a configuration.
var curves = map[string]tls.CurveID{ //nolint:gochecknoglobals // a table of constants
	"SecP384r1MLKEM1024": tls.SecP384r1MLKEM1024,
	"SecP256r1MLKEM768":  tls.SecP256r1MLKEM768,
	"X25519MLKEM768":     tls.X25519MLKEM768,
	"X25519":             tls.X25519,
	"CurveP256":          tls.CurveP256,
	"CurveP384":          tls.CurveP384,
	"CurveP521":          tls.CurveP521,
}

// Curve returns the curve of a name.
func Curve(name string) (tls.CurveID, error) {
	id, ok := curves[name]
	if !ok {
		return 0, fmt.Errorf("unrecognized curve preference %s", name)
	}
	return id, nil
}

// CipherSuite returns the cipher suite of a name, and whether it is broken.
func CipherSuite(name string) (id uint16, insecure bool, err error) {
	for _, s := range tls.CipherSuites() {
		if s.Name == name {
			return s.ID, false, nil
		}
	}
	for _, s := range tls.InsecureCipherSuites() {
		if s.Name == name {
			return s.ID, true, nil
		}
	}
	return 0, false, fmt.Errorf("unrecognized cipher %s", name)
}

// MinVersion returns the version that a min_version names.
func MinVersion(name string) (uint16, error) {
	switch name {
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	case "1.0", "1.1":
		return 0, fmt.Errorf("unsupported TLS version: TLS %s", name)
	}
	return 0, fmt.Errorf("unknown version: %s", name)
}

var pin = regexp.MustCompile("^[a-f0-9]{64}$")

// PinnedKey checks what names a pinned key and brings it into its usual form.
func PinnedKey(s string) (string, error) {
	s = strings.ToLower(s)
	if !pin.MatchString(s) {
		return "", fmt.Errorf("key %s does not look like hex-encoded sha256 of DER encoded SubjectPublicKeyInfo", s)
	}
	return s, nil
}

// suites returns the cipher suites of TLS 1.2 that are used unless others are
// named: all that are not broken.
func suites() []uint16 {
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		ids = append(ids, s.ID)
	}
	return ids
}

// strongest returns the curves that are used unless others are named, those
// that withstand quantum computers first.
func strongest() []tls.CurveID {
	return []tls.CurveID{
		tls.X25519MLKEM768, tls.SecP384r1MLKEM1024, tls.SecP256r1MLKEM768,
		tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521,
	}
}

// problem says what is wrong with the options themselves.
func (o *Options) problem() error {
	switch {
	case o.MinVersion != 0 && o.MinVersion < tls.VersionTLS12:
		return fmt.Errorf("unsupported minimum TLS version: %s", tls.VersionName(o.MinVersion))
	case o.Timeout < 0 || o.Fallback < 0 || o.RateLimit < 0:
		return errNegative
	}
	for _, k := range o.PinnedKeys {
		if _, err := PinnedKey(k); err != nil {
			return err
		}
	}
	if i := slices.IndexFunc(o.Certificates, func(p KeyPair) bool { return p.CertFile == "" || p.KeyFile == "" }); i >= 0 {
		return fmt.Errorf("certificate %d needs both a cert_file and a key_file", i+1)
	}
	return nil
}
