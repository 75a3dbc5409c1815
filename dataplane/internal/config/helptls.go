package config

import (
	"strings"

	"github.com/coveymq/covey/dataplane/internal/secure"
)

// UsageTLS returns the text of --help_tls.
func UsageTLS() string {
	sound, broken := secure.CipherSuiteNames()
	var b strings.Builder
	b.WriteString(`
The tls block of a configuration file:

    tls {
        cert_file: "server-cert.pem"
        key_file:  "server-key.pem"
        ca_file:   "ca.pem"          # who signed the certificates of clients
        verify:    true              # demand one
        timeout:   2
        min_version: "1.2"           # or "1.3"
        cipher_suites: ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
        curve_preferences: ["X25519"]
    }

`)
	list := func(title string, names []string) {
		b.WriteString(title + ":\n")
		for _, name := range names {
			b.WriteString("    " + name + "\n")
		}
		b.WriteString("\n")
	}
	list("Cipher suites (those of TLS 1.3 are not up to choice)", sound)
	list("Cipher suites that are broken, with allow_insecure_cipher_suites: true only", broken)
	list("Curves", secure.CurveNames())
	return b.String()
}
