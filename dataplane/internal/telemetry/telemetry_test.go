package telemetry_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	collector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/internal/lifecycle"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

var update = flag.Bool("update", false, "write the golden files")

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path) //nolint:gosec // our own testdata
	must(t, err)
	if got != string(want) {
		t.Errorf("%s differs; run with -update and look at the change:\n%s", name, got)
	}
}

// run starts a broker, through which a message goes and from which a client
// leaves. The broker ends when stop is called, or with the test.
func run(t *testing.T, cfg *dataplane.Config) (b *dataplane.Broker, stop func()) {
	t.Helper()
	cfg.Logger, cfg.Version, cfg.Drain = slog.New(slog.DiscardHandler), "test", dataplane.Drain{Grace: time.Millisecond}
	b, err := dataplane.New(t.Context(), *cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	g := lifecycle.NewGroup(ctx)
	g.Go(b.Run)
	ended := false
	stop = func() {
		if cancel(); !ended {
			ended = true
			if err := g.Wait(); err != nil {
				t.Errorf("Run = %v", err)
			}
		}
	}
	t.Cleanup(stop)
	nc, err := nats.Connect(b.ClientURL(), nats.Timeout(time.Minute))
	must(t, err)
	t.Cleanup(nc.Close)
	sub, err := nc.SubscribeSync("x")
	must(t, err)
	must(t, nc.Publish("x", make([]byte, 100)))
	_, err = sub.NextMsg(time.Minute)
	must(t, err)
	gone, err := nats.Connect(b.ClientURL(), nats.Timeout(time.Minute))
	must(t, err)
	gone.Close()
	return b, stop
}

// point is one series.
type point struct{ kind, attributes, value string }

func points[N int64 | float64](kind string, all []metricdata.DataPoint[N]) []point {
	out := make([]point, len(all))
	for i, p := range all {
		out[i] = point{fmt.Sprintf("%s %T", kind, p.Value), p.Attributes.Encoded(encoder{}), fmt.Sprint(p.Value)}
	}
	return out
}

func pointsOf(t *testing.T, m *metricdata.Metrics) []point {
	t.Helper()
	kind := func(monotonic bool) string {
		if monotonic {
			return "counter"
		}
		return "updowncounter"
	}
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		return points(kind(d.IsMonotonic), d.DataPoints)
	case metricdata.Sum[float64]:
		return points(kind(d.IsMonotonic), d.DataPoints)
	case metricdata.Gauge[float64]:
		return points("gauge", d.DataPoints)
	default:
		t.Fatalf("%s is a %T", m.Name, d)
		return nil
	}
}

// collect waits until the client that left is counted.
func collect(t *testing.T, r *sdk.ManualReader) []metricdata.Metrics {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		var rm metricdata.ResourceMetrics
		must(t, r.Collect(t.Context(), &rm))
		if len(rm.ScopeMetrics) != 1 {
			t.Fatalf("%d scopes", len(rm.ScopeMetrics))
		}
		all := rm.ScopeMetrics[0].Metrics
		slices.SortFunc(all, func(a, b metricdata.Metrics) int { return strings.Compare(a.Name, b.Name) })
		if slices.ContainsFunc(all, func(m metricdata.Metrics) bool { return m.Name == "covey.broker.connection.closed" }) {
			return all
		}
		if time.Now().After(deadline) {
			t.Fatal("the client that left is not counted")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// Names, types, units and attributes are a contract with dashboards and alerts.
func TestMetricsAreThose(t *testing.T) {
	reader := sdk.NewManualReader()
	_, stop := run(t, &dataplane.Config{Meters: sdk.NewMeterProvider(sdk.WithReader(reader))})
	var lines []string
	values := make(map[string]string)
	for _, m := range collect(t, reader) {
		for _, p := range pointsOf(t, &m) {
			lines = append(lines, fmt.Sprintf("%s [%s] %s {%s}\n", m.Name, m.Unit, p.kind, p.attributes))
			values[m.Name+p.attributes] = p.value
		}
	}
	slices.Sort(lines)
	golden(t, "metrics.golden", strings.Join(lines, ""))
	for name, want := range map[string]string{
		"covey.broker.client.messagesnetwork.io.direction=receive":        "1",
		"covey.broker.client.messagesnetwork.io.direction=transmit":       "1",
		"covey.broker.client.sizenetwork.io.direction=receive":            "100",
		"covey.broker.client.sizenetwork.io.direction=transmit":           "100",
		"covey.broker.connections":                                        "1",
		"covey.broker.connection.opened":                                  "2",
		"covey.broker.connection.closedcovey.broker.reason=Client Closed": "1",
		"covey.broker.subscriptions":                                      "1",
		"covey.broker.accounts":                                           "2",
		"covey.broker.auth.failures":                                      "0",
	} {
		if values[name] != want {
			t.Errorf("%s = %q, want %s", name, values[name], want)
		}
	}
	stop()
	var rm metricdata.ResourceMetrics
	must(t, reader.Collect(t.Context(), &rm))
	if len(rm.ScopeMetrics) != 0 {
		t.Error("a broker that has ended is still read")
	}
}

func TestPrometheusScrapes(t *testing.T) {
	b, _ := run(t, &dataplane.Config{MonitorAddr: "127.0.0.1:0"})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.MonitorURL()+"/metrics", http.NoBody)
	must(t, err)
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { must(t, res.Body.Close()) }()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	http.DefaultClient.CloseIdleConnections()
	var types []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "# TYPE ") && !strings.Contains(line, "covey_broker_connection_closed") {
			types = append(types, strings.TrimPrefix(line, "# TYPE "))
		}
	}
	golden(t, "prometheus.golden", strings.Join(types, ""))
	for _, want := range []string{
		`covey_broker_client_messages_total{network_io_direction="receive"} 1` + "\n", "covey_broker_subscriptions 1\n",
	} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	for _, secret := range []string{`"$G"`, "$SYS", "account="} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("a label tells of an account: %s", secret)
		}
	}
}

// receiver takes OTLP metrics.
type receiver struct {
	collector.UnimplementedMetricsServiceServer
	names chan string
}

func (r *receiver) Export(_ context.Context, q *collector.ExportMetricsServiceRequest) (*collector.ExportMetricsServiceResponse, error) {
	for _, rm := range q.GetResourceMetrics() {
		for _, sm := range rm.GetScopeMetrics() {
			for _, m := range sm.GetMetrics() {
				select {
				case r.names <- m.GetName():
				default:
				}
			}
		}
	}
	return &collector.ExportMetricsServiceResponse{}, nil
}

// A broker that ends pushes once more, however long the interval.
func TestMetricsArePushed(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	r := &receiver{names: make(chan string, 100)}
	s := grpc.NewServer()
	collector.RegisterMetricsServiceServer(s, r)
	g := lifecycle.NewGroup(t.Context())
	g.Go(func(context.Context) error { return s.Serve(l) })
	t.Cleanup(func() { s.Stop(); _ = g.Wait() })
	_, stop := run(t, &dataplane.Config{Metrics: dataplane.Metrics{Push: "http://" + l.Addr().String(), Interval: time.Hour}})
	stop()
	close(r.names)
	var names []string
	for name := range r.names {
		names = append(names, name)
	}
	if !slices.Contains(names, "covey.broker.client.messages") {
		t.Errorf("pushed were %q", names)
	}
}
