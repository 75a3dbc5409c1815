package usage_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	colmetricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/billing/ledger"
	"github.com/coveymq/covey/controlplane/internal/usage"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

var errFault = errors.New("injected: /secret/path/usage.db")

// faulty is a ledger that fails on demand, before or after it has committed.
type faulty struct {
	billing.Ledger
	before, after atomic.Bool
	records       atomic.Int64
}

func (f *faulty) Record(ctx context.Context, samples []billing.Sample) (billing.Recorded, error) {
	f.records.Add(1)
	if f.before.Load() {
		return billing.Recorded{}, errFault
	}
	done, err := f.Ledger.Record(ctx, samples)
	if f.after.Load() {
		return billing.Recorded{}, errFault
	}
	return done, err
}

// directory knows the accounts in it.
type directory map[string]bool

func (d directory) KnownAccount(_ context.Context, key string) (bool, error) {
	if key == "AFAIL" {
		return false, errFault
	}
	return d[key], nil
}

func start(tb testing.TB, opts usage.Options) (*usage.Receiver, *faulty) {
	tb.Helper()
	l, err := ledger.Open(context.Background(), filepath.Join(tb.TempDir(), "usage.db"))
	if err != nil {
		tb.Fatal(err)
	}
	f := &faulty{Ledger: l}
	r := usage.New(f, opts)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.Run(ctx) })
	tb.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r, f
}

func thisHour() int64 { return billing.WindowOf(time.Now()) }

func text(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func number(key string, value int64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: value}}}
}

func point(account string, window, value int64) *metricspb.NumberDataPoint {
	return &metricspb.NumberDataPoint{
		Attributes: []*commonpb.KeyValue{
			text("covey.account.id", account), number("covey.usage.window", window), text("covey.usage.class", "standard"),
		},
		Value: &metricspb.NumberDataPoint_AsInt{AsInt: value},
	}
}

func sum(name string, points ...*metricspb.NumberDataPoint) *metricspb.Metric {
	return &metricspb.Metric{Name: name, Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{
		DataPoints:             points,
		AggregationTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE,
		IsMonotonic:            true,
	}}}
}

func request(metrics ...*metricspb.Metric) *colmetricpb.ExportMetricsServiceRequest {
	return &colmetricpb.ExportMetricsServiceRequest{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource:     &resourcepb.Resource{Attributes: []*commonpb.KeyValue{text("service.instance.id", "one")}},
		ScopeMetrics: []*metricspb.ScopeMetrics{{Metrics: metrics}},
	}}}
}

func published(tb testing.TB, l billing.Ledger, account string) int64 {
	tb.Helper()
	now := time.Now()
	u, err := l.Usage(tb.Context(), []string{account}, now.Add(-2*time.Hour), now)
	if err != nil {
		tb.Fatal(err)
	}
	return u[0].Published
}

func TestAnswerMeansCommitted(t *testing.T) {
	r, l := start(t, usage.Options{})
	res, err := r.Export(t.Context(), request(sum("covey.usage.published", point("A", thisHour(), 5))))
	if err != nil || res.GetPartialSuccess() != nil {
		t.Fatalf("Export = %v, %v", res, err)
	}
	if got := published(t, l, "A"); got != 5 {
		t.Errorf("published %d, want 5", got)
	}
}

func TestFourMetricsAreFourMeters(t *testing.T) {
	r, l := start(t, usage.Options{})
	w := thisHour()
	if _, err := r.Export(t.Context(), request(
		sum("covey.usage.published", point("A", w, 1)), sum("covey.usage.published.size", point("A", w, 2)),
		sum("covey.usage.delivered", point("A", w, 3)), sum("covey.usage.delivered.size", point("A", w, 4)))); err != nil {
		t.Fatal(err)
	}
	got, err := l.Usage(t.Context(), []string{"A"}, time.Now(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	got[0].Reported = time.Time{}
	if want := (billing.AccountUsage{Account: "A", Published: 1, PublishedBytes: 2, Delivered: 3, DeliveredBytes: 4}); got[0] != want {
		t.Errorf("usage %+v, want %+v", got[0], want)
	}
}

func TestWhatNoBrokerSendsIsRefusedAsAWhole(t *testing.T) {
	w := thisHour()
	bad := map[string]func() *metricspb.Metric{
		"delta": func() *metricspb.Metric {
			m := sum("covey.usage.published", point("A", w, 1))
			m.GetSum().AggregationTemporality = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
			return m
		},
		"not monotonic": func() *metricspb.Metric {
			m := sum("covey.usage.published", point("A", w, 1))
			m.GetSum().IsMonotonic = false
			return m
		},
		"gauge": func() *metricspb.Metric {
			return &metricspb.Metric{Name: "covey.usage.published", Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{}}}
		},
		"overflow": func() *metricspb.Metric {
			p := point("A", w, 1)
			p.Attributes = append(p.Attributes, text("otel.metric.overflow", "true"))
			return sum("covey.usage.published", p)
		},
		"too much":     func() *metricspb.Metric { return sum("covey.usage.published", point("A", w, 1<<60)) },
		"odd account":  func() *metricspb.Metric { return sum("covey.usage.published", point("A\x00B", w, 1)) },
		"negative":     func() *metricspb.Metric { return sum("covey.usage.published", point("A", w, -1)) },
		"no account":   func() *metricspb.Metric { return sum("covey.usage.published", point("", w, 1)) },
		"long account": func() *metricspb.Metric { return sum("covey.usage.published", point(strings.Repeat("A", 65), w, 1)) },
		"half hour":    func() *metricspb.Metric { return sum("covey.usage.published", point("A", w+1800, 1)) },
		"float": func() *metricspb.Metric {
			p := point("A", w, 1)
			p.Value = &metricspb.NumberDataPoint_AsDouble{AsDouble: 1}
			return sum("covey.usage.published", p)
		},
	}
	r, l := start(t, usage.Options{})
	for name, metric := range bad {
		_, err := r.Export(t.Context(), request(sum("covey.usage.published", point("A", w, 9)), metric()))
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	anonymous := request(sum("covey.usage.published", point("A", w, 9)))
	anonymous.ResourceMetrics[0].Resource = nil
	if _, err := r.Export(t.Context(), anonymous); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no incarnation: %v", err)
	}
	if got := published(t, l, "A"); got != 0 {
		t.Errorf("published %d of refused requests", got)
	}
}

func TestOtherMetricsAreNamedAndLeftOut(t *testing.T) {
	r, l := start(t, usage.Options{})
	w := thisHour()
	res, err := r.Export(t.Context(), request(
		sum("http.server.requests", point("A", w, 1), point("B", w, 1)), sum("covey.usage.published", point("A", w, 5))))
	if err != nil {
		t.Fatal(err)
	}
	p := res.GetPartialSuccess()
	if p.GetRejectedDataPoints() != 2 || !strings.Contains(p.GetErrorMessage(), "http.server.requests") {
		t.Errorf("partial success %v", p)
	}
	if got := published(t, l, "A"); got != 5 {
		t.Errorf("published %d, want 5", got)
	}
}

func TestUnknownAccountAndFutureHourAreHeldBack(t *testing.T) {
	known := directory{"A": true}
	r, l := start(t, usage.Options{Accounts: known})
	w := thisHour()
	if _, err := r.Export(t.Context(), request(sum("covey.usage.published",
		point("A", w, 5), point("A", w+7*24*3600, 6), point("B", w, 7)))); err != nil {
		t.Fatal(err)
	}
	if a, b := published(t, l, "A"), published(t, l, "B"); a != 5 || b != 0 {
		t.Errorf("published %d and %d, want 5 and 0", a, b)
	}
	if n := r.Quarantined(); n != 2 {
		t.Errorf("%d samples in quarantine, want 2", n)
	}
	kept, err := l.Receipts(t.Context(), "one", []int64{w, w + 7*24*3600})
	if err != nil || kept[0].Series != 2 || kept[1].Series != 1 {
		t.Errorf("receipts %v, %v", kept, err)
	}
	known["B"] = true // the directory has caught up
	if _, err := r.Export(t.Context(), request(sum("covey.usage.delivered", point("B", w, 1)))); err != nil {
		t.Fatal(err)
	}
	if b := published(t, l, "B"); b != 7 {
		t.Errorf("published %d after the account became known, want 7", b)
	}
}

func TestDeletedAccountStillOwes(t *testing.T) {
	known := directory{"A": true}
	r, l := start(t, usage.Options{Accounts: known})
	w := thisHour()
	export := func(r *usage.Receiver, value int64) {
		t.Helper()
		if _, err := r.Export(t.Context(), request(sum("covey.usage.published", point("A", w, value)))); err != nil {
			t.Fatal(err)
		}
	}
	export(r, 5)
	delete(known, "A")
	export(r, 6)
	fresh := usage.New(l, usage.Options{Accounts: known}) // as after a restart
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = fresh.Run(ctx) })
	export(fresh, 7)
	cancel()
	wg.Wait()
	if got := published(t, l, "A"); got != 7 {
		t.Errorf("published %d, want 7", got)
	}
}

func TestDirectoryAwayMeansLater(t *testing.T) {
	r, _ := start(t, usage.Options{Accounts: directory{}})
	_, err := r.Export(t.Context(), request(sum("covey.usage.published", point("AFAIL", thisHour(), 5))))
	wantLater(t, err)
}

// wantLater expects Unavailable with a time to come back, and no inner detail.
func wantLater(t *testing.T, err error) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != codes.Unavailable || strings.Contains(st.Message(), "injected") {
		t.Errorf("status %v: %s", st.Code(), st.Message())
	}
	for _, d := range st.Details() {
		if _, ok := d.(*errdetails.RetryInfo); ok {
			return
		}
	}
	t.Error("no RetryInfo")
}

func TestLedgerAwayMeansLaterAndNothingCountsTwice(t *testing.T) {
	r, l := start(t, usage.Options{})
	req := request(sum("covey.usage.published", point("A", thisHour(), 5)))
	l.before.Store(true)
	_, err := r.Export(t.Context(), req)
	wantLater(t, err)
	l.before.Store(false)
	l.after.Store(true) // committed, and the answer is lost
	_, err = r.Export(t.Context(), req)
	wantLater(t, err)
	l.after.Store(false)
	if _, err := r.Export(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if got := published(t, l, "A"); got != 5 {
		t.Errorf("published %d, want 5", got)
	}
}

func TestExportsShareACommit(t *testing.T) {
	r, l := start(t, usage.Options{})
	const exports = 64
	var wg sync.WaitGroup
	for i := range int64(exports) {
		wg.Go(func() {
			if _, err := r.Export(t.Context(), request(sum("covey.usage.published", point("A", thisHour(), i+1)))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := published(t, l, "A"); got != exports {
		t.Errorf("published %d, want %d", got, exports)
	}
	if n := l.records.Load(); n >= exports {
		t.Errorf("%d commits for %d exports at once", n, exports)
	}
}

func TestStoppedReceiverMeansLater(t *testing.T) {
	r := usage.New(nil, usage.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	_, err := r.Export(t.Context(), request(sum("covey.usage.published", point("A", thisHour(), 5))))
	wantLater(t, err)
}

// Any order, grouping and repetition of what a broker reported, with failures
// before and after the commit, leaves the maximum.
func TestAnyInterleavingLeavesTheMaximum(t *testing.T) {
	r, l := start(t, usage.Options{})
	w := thisHour()
	want := make(map[string]int64)
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 8).Draw(rt, "exports") {
			account := rapid.SampledFrom([]string{"A", "B"}).Draw(rt, "account")
			values := rapid.SliceOfN(rapid.Int64Range(1, 1000), 1, 5).Draw(rt, "values")
			l.before.Store(rapid.IntRange(0, 4).Draw(rt, "fails") == 0)
			l.after.Store(rapid.IntRange(0, 4).Draw(rt, "loses the answer") == 0)
			var points []*metricspb.NumberDataPoint
			for _, v := range values {
				points = append(points, point(account, w, v))
			}
			_, err := r.Export(t.Context(), request(sum("covey.usage.published", points...)))
			if l.before.Load() {
				if err == nil {
					rt.Fatal("success of a failed commit")
				}
				continue
			}
			for _, v := range values {
				want[account] = max(want[account], v)
			}
		}
		for account, v := range want {
			if got := published(t, l, account); got != v {
				rt.Fatalf("account %s: published %d, want %d", account, got, v)
			}
		}
	})
}

func TestHTTP(t *testing.T) {
	r, l := start(t, usage.Options{})
	good, err := proto.Marshal(request(sum("covey.usage.published", point("A", thisHour(), 5))))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(good)
	_ = z.Close()
	var bomb bytes.Buffer
	z = gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, usage.RequestBytesMax+1))
	_ = z.Close()
	for name, c := range map[string]struct {
		method, kind, encoding string
		body                   []byte
		want                   int
	}{
		"plain":     {http.MethodPost, "application/x-protobuf", "", good, 200},
		"gzip":      {http.MethodPost, "application/x-protobuf", "gzip", packed.Bytes(), 200},
		"bomb":      {http.MethodPost, "application/x-protobuf", "gzip", bomb.Bytes(), 400},
		"garbage":   {http.MethodPost, "application/x-protobuf", "", []byte("{}"), 400},
		"json":      {http.MethodPost, "application/json", "", []byte("{}"), 415},
		"get":       {http.MethodGet, "application/x-protobuf", "", nil, 405},
		"truncated": {http.MethodPost, "application/x-protobuf", "gzip", packed.Bytes()[:10], 400},
	} {
		req := httptest.NewRequestWithContext(t.Context(), c.method, "/v1/metrics", bytes.NewReader(c.body))
		req.Header.Set("Content-Type", c.kind)
		req.Header.Set("Content-Encoding", c.encoding)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		if w.Code != c.want {
			t.Errorf("%s: status %d, want %d", name, w.Code, c.want)
		}
	}
	if got := published(t, l, "A"); got != 5 {
		t.Errorf("published %d, want 5", got)
	}
	l.before.Store(true)
	w := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/metrics", bytes.NewReader(good))
	req.Header.Set("Content-Type", "application/x-protobuf")
	r.ServeHTTP(w, req)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("ledger away: status %d, headers %v", w.Code, w.Header())
	}
}

func FuzzExport(f *testing.F) {
	good, err := proto.Marshal(request(sum("covey.usage.published", point("A", thisHour(), 5))))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	r, _ := start(f, usage.Options{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var req colmetricpb.ExportMetricsServiceRequest
		if proto.Unmarshal(b, &req) != nil {
			return
		}
		if _, err := r.Export(t.Context(), &req); err != nil && status.Code(err) != codes.InvalidArgument {
			t.Errorf("Export = %v", err) // whatever it holds, the ledger must be able to keep it
		}
	})
}
