package chaos_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func readAll(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, 64<<20)) }

// number reads an environment variable.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// Some schedules run with the other tests; `make chaos` runs 200.
const fewSchedules = 4

func TestSchedules(t *testing.T) {
	if testing.Short() {
		t.Skip("fault schedules take real processes")
	}
	first, count := 0, number(t, "COVEY_CHAOS_SCHEDULES", fewSchedules)
	if seed := number(t, "COVEY_CHAOS_SEED", -1); seed >= 0 {
		first, count = seed, 1
	}
	ours, stock := program(t, "covey-broker"), program(t, "nats-server")
	var sent, heard int64
	kinds := make(map[string]int)
	var slowest time.Duration
	for seed := first; seed < first+count; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			programs := [size]string{ours, ours, ours}
			if seed%3 == 2 {
				programs[seed/3%size] = stock
			}
			s := &schedule{t: t, rng: rand.New(rand.NewPCG(uint64(seed), 6)), mesh: newMesh(t, []int{3, 1, -1}[seed%4%3], programs)} //nolint:gosec // replayable, not secret
			s.run()
			sent, heard, slowest = sent+s.sent.Load(), heard+s.heard, max(slowest, s.slowest)
			for _, f := range s.happened {
				kinds[f[:len(f)-len(" (0, 0)")]]++
			}
			t.Logf("seed %d: %d sent, %d heard, settled in at most %v; %v", seed, s.sent.Load(), s.heard, s.slowest.Round(time.Millisecond), s.happened)
		})
	}
	t.Logf("%d schedules from seed %d: %d messages sent, %d heard; all heard all at most %v after the mesh was whole; faults %v",
		count, first, sent, heard, slowest.Round(time.Millisecond), kinds)
}
