package secure

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	var r rate
	now := time.Now()
	admitted := 0
	for i := range 100 {
		if r.admit(3, now.Add(time.Duration(i)*50*time.Millisecond)) { // 5 seconds
			admitted++
		}
	}
	if admitted < 12 || admitted > 15 {
		t.Errorf("%d of 100 in 5 seconds, at 3 a second", admitted)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	pair := []KeyPair{{"a", "b"}}
	for _, o := range []Options{
		{},
		{Certificates: []KeyPair{{"a", ""}}},
		{Certificates: pair, MinVersion: tls.VersionTLS11},
		{Certificates: pair, Timeout: -1},
		{Certificates: pair, RateLimit: -1},
		{Certificates: pair, PinnedKeys: []string{"x"}},
		{Certificates: pair}, // no such files
	} {
		if _, err := Load(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestNames(t *testing.T) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if id, insecure, err := CipherSuite(s.Name); err != nil || id != s.ID || insecure != s.Insecure {
			t.Errorf("%s: %x, %v, %v", s.Name, id, insecure, err)
		}
	}
	if id, err := Curve("X25519"); err != nil || id != tls.X25519 {
		t.Errorf("X25519: %v, %v", id, err)
	}
	if got, err := PinnedKey(strings.Repeat("AB", 32)); err != nil || got != strings.Repeat("ab", 32) {
		t.Errorf("pin: %s, %v", got, err)
	}
}
