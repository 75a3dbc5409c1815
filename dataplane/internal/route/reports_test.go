package route

import (
	"slices"
	"testing"
)

// A broker that is not reached is told of at the first failure, and then at every
// so many, which are others once it was there.
func TestFailuresToConnectAreReportedNowAndThen(t *testing.T) {
	cfg := Config{ConnectReports: 3, ReconnectReports: 5}
	if _, err := cfg.complete(); err != nil {
		t.Fatal(err)
	}
	m := &Mesh{}
	m.cfg.Store(&cfg)
	target := &target{mesh: m}
	reported := func() (at []int) {
		for n := 1; n <= 10; n++ {
			if target.reports(n) {
				at = append(at, n)
			}
		}
		return at
	}
	if at := reported(); !slices.Equal(at, []int{1, 3, 6, 9}) {
		t.Errorf("before it was ever there: %v", at)
	}
	id := "peer"
	target.peer.Store(&id)
	if at := reported(); !slices.Equal(at, []int{1, 5, 10}) {
		t.Errorf("later: %v", at)
	}
	standard := Config{}
	if _, err := standard.complete(); err != nil || standard.ConnectReports != 3600 || standard.ReconnectReports != 1 {
		t.Errorf("defaults %d and %d: %v", standard.ConnectReports, standard.ReconnectReports, err)
	}
}
