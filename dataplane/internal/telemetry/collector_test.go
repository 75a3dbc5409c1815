package telemetry_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/internal/testcollector"
)

// TestACollectorUnderstandsOurMetrics pushes to a real Collector, which must show every metric
// of the list, with its unit and value type, and whose they are.
func TestACollectorUnderstandsOurMetrics(t *testing.T) {
	c := testcollector.Start(t, "")
	_, stop := run(t, &dataplane.Config{Metrics: dataplane.Metrics{Push: "http://" + c.Addr(), Interval: 50 * time.Millisecond}})
	stop() // the last push is over
	waitFor(t, c, "process.uptime")
	list, err := os.Open(filepath.Join("testdata", "metrics.golden"))
	must(t, err)
	defer func() { _ = list.Close() }()
	for lines := bufio.NewScanner(list); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		unit := rest[1:strings.IndexByte(rest, ']')]
		want := "-> Name: " + name + "\n"
		_, after, found := strings.Cut(c.Output(), want)
		if !found {
			t.Errorf("%s did not arrive", name)
			continue
		}
		head, _, _ := strings.Cut(after, "NumberDataPoints")
		if !strings.Contains(head, "-> Unit: "+unit+"\n") {
			t.Errorf("%s: want unit %s in\n%s", name, unit, head)
		}
	}
	if !strings.Contains(c.Output(), "service.name: Str(covey-broker)") {
		t.Error("nobody knows whose metrics they are")
	}
}

// waitFor waits until the Collector has written something.
func waitFor(t *testing.T, c *testcollector.Collector, text string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(c.Output(), text); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("the Collector never says %q", text)
		}
	}
}
