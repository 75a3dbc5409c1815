package dataplane_test

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// Profiles are served on loopback only, whatever clients connect to, and change
// with a restart only.
func TestProfilesAreServedOnLoopback(t *testing.T) {
	p := launch(t, "prof_port: -1\nprof_block_rate: 1000000")
	found := regexp.MustCompile(`profiling port: (\d+)`).FindStringSubmatch(p.log.String())
	if found == nil {
		t.Fatalf("no port in the log:\n%s", p.log.String())
	}
	for path, want := range map[string]string{
		"/debug/pprof/": "goroutine", "/debug/pprof/goroutine?debug=1": "dataplane.(*Broker)", "/debug/pprof/block?debug=1": "cycles/second",
	} {
		r, err := http.Get("http://127.0.0.1:" + found[1] + path) //nolint:noctx // a test on loopback
		must(t, err)
		text, err := io.ReadAll(r.Body)
		must(t, err)
		must(t, r.Body.Close())
		if r.StatusCode != http.StatusOK || !strings.Contains(string(text), want) {
			t.Errorf("%s: %d, without %q:\n%.300s", path, r.StatusCode, want, text)
		}
	}
	p.reload(t, "prof_port: 0", "config reload not supported for prof_port")
	p.reload(t, "prof_port: -1", "Reloaded server configuration")
	if without := launch(t, ""); strings.Contains(without.log.String(), "profiling") {
		t.Error("profiles are served unasked")
	}
}
