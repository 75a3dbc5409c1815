package export

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/coveymq/covey/dataplane/internal/meter"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

const (
	keyA = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	keyB = "ABBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
)

var errFault = errors.New("injected")

// model is a ledger behind a network that fails in every way: before and after
// a request has had its effect, late, and again.
type model struct {
	mu      sync.Mutex
	rand    *rand.Rand
	faults  bool
	values  map[modelKey]uint64
	delayed []*metricdata.ResourceMetrics // on their way, or in a collector
	exports int
}

type modelKey struct {
	incarnation, metric, account, class string
	window                              int64
}

func (l *model) Export(_ context.Context, rm *metricdata.ResourceMetrics) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exports++
	if l.faults {
		switch l.rand.IntN(6) {
		case 0:
			return errFault // never arrived
		case 1:
			l.apply(rm)
			return errFault // arrived, the answer did not
		case 2:
			l.delayed = append(l.delayed, rm)
			return nil // a collector has it
		case 3:
			return nil // a collector had it
		}
	}
	l.apply(rm)
	for _, old := range l.delayed {
		l.apply(old) // overtaken
	}
	l.delayed = nil
	return nil
}

func (l *model) apply(rm *metricdata.ResourceMetrics) {
	id, _ := rm.Resource.Set().Value("service.instance.id")
	for _, m := range rm.ScopeMetrics[0].Metrics {
		for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
			account, _ := p.Attributes.Value(attrAccount)
			class, _ := p.Attributes.Value(attrClass)
			window, _ := p.Attributes.Value(attrWindow)
			k := modelKey{id.AsString(), m.Name, account.AsString(), class.AsString(), window.AsInt64()}
			l.values[k] = max(l.values[k], uint64(p.Value))
		}
	}
}

func (*model) Shutdown(context.Context) error { return nil }

func (l *model) GetUsageReceipt(_ context.Context, incarnation string, windows []int64) ([]Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.faults && l.rand.IntN(3) == 0 {
		return nil, errFault
	}
	out := make([]Receipt, len(windows))
	for i, w := range windows {
		rows := make(map[rowKey]meter.Counts)
		for k, v := range l.values {
			if k.incarnation == incarnation && k.window == w {
				c := rows[rowKey{k.account, k.class}]
				for j, m := range metrics() {
					if m.name == k.metric {
						c[j] = v // in the order of the counts
					}
				}
				rows[rowKey{k.account, k.class}] = c
			}
		}
		var d meter.Digest
		for key, c := range rows {
			d.Replace(&meter.Series{Account: key.account, Class: key.class, Window: w, Counts: c}, meter.Counts{})
		}
		out[i] = Receipt{Window: w, Series: d.Series, Total: d.Total, Hash: d.Hash}
	}
	return out, nil
}

func (l *model) total(metric, account string) (sum uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, v := range l.values {
		if k.metric == metric && k.account == account {
			sum += v
		}
	}
	return sum
}

func (l *model) setFaults(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = on
}

// Three hours of a broker whose reports fail two times in three; then all is
// well, and every count is there exactly once.
func TestLedgerIsExactWhateverTheNetworkDoes(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
	}
}

func simulate(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	l := &model{rand: rand.New(rand.NewPCG(seed, 2)), faults: true, values: make(map[modelKey]uint64)}
	m, err := meter.Open("", meter.Options{KeepClosed: true})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{}
	cfg.setDefaults()
	e := newExporter(m, l, cfg, l)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = m.Run(ctx) })
	wg.Go(func() { _ = e.Run(ctx) })

	var want uint64
	accounts := []*meter.Account{open(t, m, keyA), open(t, m, keyB)}
	for range 150 {
		time.Sleep(time.Duration(r.IntN(150)) * time.Second) //nolint:forbidigo // the bubble's clock
		n := 1 + r.Uint64N(5)
		accounts[0].Delivered(n, 10*n)
		accounts[1].Published(1, 1)
		want += n
	}
	l.setFaults(false)
	time.Sleep(time.Hour + 10*time.Minute) //nolint:forbidigo // the bubble's clock
	stop()
	wg.Wait()
	if age := e.Unreceipted(); age != 0 {
		t.Errorf("seed %d: unreceipted for %v", seed, age)
	}
	if err := e.Flush(t.Context()); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	if got := l.total("covey.usage.delivered", keyA); got != want {
		t.Errorf("seed %d: delivered %d, want %d", seed, got, want)
	}
	if got := l.total("covey.usage.delivered.size", keyA); got != 10*want {
		t.Errorf("seed %d: delivered bytes %d, want %d", seed, got, 10*want)
	}
	if got := l.total("covey.usage.published", keyB); got != 150 {
		t.Errorf("seed %d: published %d, want 150", seed, got)
	}
	m.Snapshot(func(s meter.Series) bool {
		if s.Window < m.Window() {
			t.Errorf("seed %d: hour %d was not forgotten", seed, s.Window)
		}
		return true
	})
}

func open(tb testing.TB, m *meter.Meter, key string) *meter.Account {
	tb.Helper()
	a, err := m.Account(key)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}
