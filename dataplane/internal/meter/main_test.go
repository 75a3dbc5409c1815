package meter

import (
	"os"
	"testing"

	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		countUntilKilled(dir)
		return
	}
	testleak.Main(m)
}

const (
	keyA = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	keyB = "ABBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
)

func open(tb testing.TB, dir string) *Meter {
	tb.Helper()
	m, err := Open(dir, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.Close(); err != nil {
			tb.Error(err)
		}
	})
	return m
}

func account(tb testing.TB, m *Meter, key string) *Account {
	tb.Helper()
	a, err := m.Account(key)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// totals sums series over hours.
func totals(series []Series) map[string]Counts {
	sum := make(map[string]Counts)
	for _, s := range series {
		c := sum[s.Account]
		for i, v := range s.Counts {
			c[i] += v
		}
		sum[s.Account] = c
	}
	return sum
}
