package controlplane_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// BenchmarkAccounts makes accounts through the API of a control plane with an
// etcd of its own, in as many organizations as there are callers, and says what
// each costs: time, memory, and etcd's database: its file, what of it is in use,
// and what is left when history is compacted and the file defragmented. Memory is
// the whole process's, callers included; mapped is what the system may take back
// at any time, nearly all of it the file of etcd's database.
// -benchtime 50000x makes 50,000 of them.
func BenchmarkAccounts(b *testing.B) {
	const callers = 16
	dir := b.TempDir()
	p := start(b, dir)
	owners := make([]*caller, callers)
	for i := range owners {
		_, owners[i] = p.signUp(b, fmt.Sprint("org", i))
	}
	before := heap()
	took := make([]time.Duration, b.N)
	var made atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for i, owner := range owners {
		all.Go(func() {
			for n := made.Add(1) - 1; n < int64(b.N); n = made.Add(1) - 1 {
				began := time.Now()
				_, err := owner.accounts.CreateAccount(b.Context(), &apiv1.CreateAccountRequest{
					Parent: fmt.Sprint("organizations/org", i), AccountId: fmt.Sprint("a", n),
				})
				if err != nil {
					b.Error(err)
					return
				}
				took[n] = time.Since(began)
			}
		})
	}
	all.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accounts/s")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
	b.ReportMetric(float64(heap()-before)/float64(b.N), "heap-B/account")
	b.ReportMetric(residentMB(b, "RssAnon:"), "memory-MB")
	b.ReportMetric(residentMB(b, "RssFile:"), "mapped-MB")
	file, used := controlplane.StoreSize(p.Server)
	b.ReportMetric(float64(file)/float64(b.N), "file-B/account")
	b.ReportMetric(float64(used)/float64(b.N), "used-B/account")
	if err := controlplane.Tidy(b.Context(), p.Server); err != nil {
		b.Fatal(err)
	}
	file, _ = controlplane.StoreSize(p.Server)
	b.ReportMetric(float64(file)/float64(b.N), "tidy-B/account")
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// residentMB reads how much memory of one kind this process has; 0 where /proc is
// not.
func residentMB(tb testing.TB, kind string) float64 {
	tb.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), kind)
	var kb float64
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		tb.Error(err)
	}
	return kb / 1024
}
