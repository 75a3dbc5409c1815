package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authoritiesView is what of `covey admin fleet-ca --json` matters here.
type authoritiesView struct {
	Authorities []struct {
		ID      string   `json:"id"`
		State   string   `json:"state"`
		Waiting []string `json:"waiting"`
	} `json:"authorities"`
}

// The staff rotates the fleet's authority by commands while a client is connected,
// and makes a collector's certificate.
func TestTheStaffRotatesTheFleetsAuthority(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	acme := h.signUp("acme")
	nc, closed := b.watched(acme.CredsFile)
	staff := func(args ...string) []string {
		return append([]string{"--context", b.AdminContext, "admin"}, args...)
	}
	var before, now, after authoritiesView
	h.coveyJSON(&before, staff("fleet-ca", "rotate", "--reason", "yearly")...)
	if len(before.Authorities) != 2 {
		t.Fatalf("authorities are %v", before)
	}
	old := before.Authorities[0].ID
	for end := time.Now().Add(patience); ; {
		now = authoritiesView{}
		h.coveyJSON(&now, staff("fleet-ca", "status")...)
		if now.Authorities[0].ID != old && len(now.Authorities[1].Waiting) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not rotated: %v", now)
		}
	}
	dir := filepath.Join(h.dir, "tls")
	h.covey(staff("collector", "certificate", "collector-1", "--out", dir, "--host", "otel.example.com")...)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "collector-1.crt"), filepath.Join(dir, "collector-1.key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if text, err := os.ReadFile(filepath.Join(dir, "fleet-ca.crt")); err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatalf("the authorities: %v", err)
	}
	for _, name := range []string{"collector.fleet.covey", "otel.example.com"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("the collector's certificate: %v", err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "collector-1.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the collector's key: %v, %v", info, err)
	}
	if o := h.run("covey", staff("fleet-ca", "retire", now.Authorities[0].ID)...); o.code == 0 || !strings.Contains(o.stderr, "signs for the fleet") {
		t.Errorf("retire the one that signs: %d %s", o.code, o.stderr)
	}
	h.coveyJSON(&after, staff("fleet-ca", "retire", old)...)
	if len(after.Authorities) != 1 {
		t.Errorf("authorities are %v", after)
	}
	if err := nc.FlushTimeout(patience); err != nil {
		t.Errorf("the client is gone: %v", err)
	}
	select {
	case <-closed:
		t.Error("the client was disconnected")
	default:
	}
	if o := h.run("covey", "admin", "ledger", "copy", "--data", filepath.Join(h.data, "controlplane")); o.code != 2 || !strings.Contains(o.stderr, "--to-url-file") {
		t.Errorf("copy a ledger to nowhere: %d %s", o.code, o.stderr)
	}
	url := filepath.Join(h.dir, "url")
	if err := os.WriteFile(url, []byte("postgres://nobody:nothing@127.0.0.1:1/none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := h.run("covey", "admin", "ledger", "copy", "--data", filepath.Join(h.data, "controlplane"), "--to-url-file", url); o.code != 1 || !strings.Contains(o.stderr, "another process uses") {
		t.Errorf("copy a ledger that is in use: %d %s", o.code, o.stderr)
	}
	h.covey(staff("audit", "verify")...)
}
