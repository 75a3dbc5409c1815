package config_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/dataplane/internal/secure/securetest"
)

func TestTLSBlock(t *testing.T) {
	ca := securetest.NewAuthority(t)
	one, two := ca.Server(t), ca.Server(t)
	files := fmt.Sprintf("cert_file: %q, key_file: %q", one.CertFile, one.KeyFile)
	certs := fmt.Sprintf("certs: [ { cert_file: %q, key_file: %q }, { cert_file: %q, key_file: %q } ]", one.CertFile, one.KeyFile, two.CertFile, two.KeyFile)
	pin := strings.Repeat("aB", 32)
	for text, holds := range map[string]func(*config.Options) bool{
		files: func(o *config.Options) bool {
			return o.Clients.TLS.Timeout == 2*time.Second && !o.TLS.First && !o.TLS.Verify && o.Clients.AuthTimeout == 3*time.Second
		},
		files + ", timeout: 5": func(o *config.Options) bool {
			return o.Clients.TLS.Timeout == 5*time.Second && o.Clients.AuthTimeout == 6*time.Second
		},
		files + ", timeout: \"3s\"":                        func(o *config.Options) bool { return o.TLS.Timeout == 3*time.Second },
		files + ", timeout: 0.5":                           func(o *config.Options) bool { return o.TLS.Timeout == 500*time.Millisecond },
		certs:                                              func(o *config.Options) bool { return len(o.TLS.Certificates) == 2 },
		files + ", verify: true":                           func(o *config.Options) bool { return o.TLS.Verify && !o.Access.Map },
		files + ", first: auto":                            func(o *config.Options) bool { return o.TLS.First && o.TLS.Fallback == 50*time.Millisecond },
		files + ", immediate: \"1s\"":                      func(o *config.Options) bool { return o.TLS.First && o.TLS.Fallback == time.Second },
		files + ", handshake_first: true":                  func(o *config.Options) bool { return o.TLS.First && o.TLS.Fallback == 0 },
		files + ", handshake_first: off":                   func(o *config.Options) bool { return !o.TLS.First },
		files + ", min_version: \"1.3\"":                   func(o *config.Options) bool { return o.TLS.MinVersion == tls.VersionTLS13 },
		files + ", connection_rate_limit: 7":               func(o *config.Options) bool { return o.TLS.RateLimit == 7 },
		files + ", curve_preferences: [X25519, CurveP256]": func(o *config.Options) bool { return len(o.TLS.Curves) == 2 },
		files + ", cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]":                      func(o *config.Options) bool { return len(o.TLS.CipherSuites) == 1 },
		files + ", cipher_suites: [TLS_RSA_WITH_RC4_128_SHA], allow_insecure_cipher_suites: true": func(o *config.Options) bool { return len(o.TLS.CipherSuites) == 1 },
		files + ", pinned_certs: [" + pin + "]":                                                   func(o *config.Options) bool { return len(o.TLS.PinnedKeys) == 1 },
		files + ", ca_file: \"" + ca.CAFile + "\", verify_and_map: true":                          func(o *config.Options) bool { return o.TLS.Map && o.Clients.TLS.Verify && o.Access.Map },
	} {
		o, err := load(t, "tls { "+text+" }")
		switch {
		case err != nil:
			t.Errorf("%s: %v", text, err)
		case !holds(o):
			t.Errorf("%s: read as %+v", text, *o.TLS)
		}
	}
	o, err := load(t, "allow_non_tls: true, authorization { token: x, timeout: 2 }, tls { "+files+" }")
	if err != nil || !o.Clients.TLS.AllowPlain || o.Clients.AuthTimeout != 2*time.Second {
		t.Errorf("allow_non_tls and a timeout: %v", err)
	}
}

// What is refused is refused by nats-server as well, but for what it cannot
// serve either.
func TestBadTLSBlocks(t *testing.T) {
	ca := securetest.NewAuthority(t)
	pair := ca.Server(t)
	files := fmt.Sprintf("cert_file: %q, key_file: %q", pair.CertFile, pair.KeyFile)
	for text, want := range map[string]string{
		"":                                     "needs a certificate",
		"cert_file: \"" + pair.CertFile + "\"": "needs both",
		"cert_file: \"/none\", key_file: \"/none\"":           "no such file",
		files + ", ca_file: \"/none\"":                        "no such file",
		files + ", ca_file: \"" + pair.KeyFile + "\"":         "no certificate in it",
		files + ", certs: [ { " + files + " } ]":              "cannot combine",
		files + ", certs: [ { cert_file: x } ]":               "both 'cert_file' and 'key_file'",
		files + ", certs: 1":                                  "must be an array",
		files + ", verify: 1":                                 "must be a boolean",
		files + ", timeout: true":                             "number of seconds or a duration",
		files + ", first: never":                              "is invalid",
		files + ", first: 1":                                  "should be a boolean or a string",
		files + ", min_version: \"1.1\"":                      "unsupported TLS version",
		files + ", min_version: \"1.9\"":                      "unknown version",
		files + ", min_version: 1.3":                          "must be a string",
		files + ", cipher_suites: []":                         "cannot be empty",
		files + ", cipher_suites: [TLS_X]":                    "unrecognized cipher TLS_X",
		files + ", cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]": "allow_insecure_cipher_suites",
		files + ", curve_preferences: [P1]":                   "unrecognized curve preference P1",
		files + ", pinned_certs: [abc]":                       "does not look like hex-encoded sha256",
		files + ", nonsense: 1":                               `unknown field "nonsense"`,
	} {
		text = "tls { " + text + " }"
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if err := (&server.Options{}).ProcessConfigString(text); err == nil && want != "needs a certificate" {
			t.Errorf("%s: nats-server takes it", text)
		}
	}
}

func TestTLSFlags(t *testing.T) {
	ca := securetest.NewAuthority(t)
	pair := ca.Server(t)
	read := func(args ...string) (*config.Options, error) {
		c, err := config.Parse(args)
		if err != nil {
			return nil, err
		}
		return c.Options()
	}
	o, err := read("--tls", "--tlscert", pair.CertFile, "-tlskey="+pair.KeyFile, "--tlsverify", "--tlscacert", ca.CAFile)
	if err != nil || o.Clients.TLS == nil || !o.TLS.Verify || o.TLS.CAFile != ca.CAFile {
		t.Errorf("all flags: %v, %+v", err, o)
	}
	if o, err := read("--tls=false", "--tlscert", "x"); err != nil || o.TLS != nil {
		t.Errorf("off: %v", err)
	}
	if _, err := read("--tls=maybe"); err == nil {
		t.Error("maybe is taken for a boolean")
	}
	if o, err := read(); err != nil || o.TLS != nil {
		t.Errorf("none: %v", err)
	}
}
