package secure

import (
	"crypto/tls"
	"maps"
	"slices"
)

// CipherSuiteNames returns what a configuration may choose among, the broken
// ones last.
func CipherSuiteNames() (sound, broken []string) {
	for _, s := range tls.CipherSuites() {
		sound = append(sound, s.Name)
	}
	for _, s := range tls.InsecureCipherSuites() {
		broken = append(broken, s.Name)
	}
	slices.Sort(sound)
	slices.Sort(broken)
	return sound, broken
}

// CurveNames returns what a configuration may choose among.
func CurveNames() []string { return slices.Sorted(maps.Keys(curves)) }

// HTTPS returns how an HTTP server of the broker is to speak TLS: with the same
// certificates, but without asking for one. The settings are asked for anew for
// each connection, so that a reload changes them.
func HTTPS(settings func() *Settings) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			s := settings()
			if s == nil {
				return nil, errNoCertificate
			}
			c := s.config.Clone()
			c.ClientAuth, c.NextProtos = tls.NoClientCert, []string{"http/1.1"}
			c.DynamicRecordSizingDisabled = false
			return c, nil
		},
	}
}
