package export_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/billing/ledger"
	"github.com/coveymq/covey/controlplane/usagetest"
	"github.com/coveymq/covey/dataplane/internal/meter"
	"github.com/coveymq/covey/dataplane/internal/meter/export"
)

const keyA = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// receipts reads the server's ledger as the fleet service would.
type receipts struct{ server *usagetest.Server }

func (r receipts) GetUsageReceipt(ctx context.Context, incarnation string, windows []int64) ([]export.Receipt, error) {
	kept, err := r.server.Receipts(ctx, incarnation, windows)
	out := make([]export.Receipt, len(kept))
	for i, k := range kept {
		out[i] = export.Receipt(k)
	}
	return out, err
}

type bench struct {
	server   *usagetest.Server
	meter    *meter.Meter
	exporter *export.Exporter
	account  *meter.Account
}

func setUp(t *testing.T, server *usagetest.Server, dir string) *bench {
	t.Helper()
	m, err := meter.Open(dir, meter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := export.New(t.Context(), m, receipts{server}, export.Config{
		Endpoint: server.Addr(),
		Interval: 10 * time.Millisecond,
		Resend:   100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Account(keyA)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{server, m, e, a}
}

func flush(t *testing.T, e *export.Exporter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := e.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestTotalsAreExactOverLostAnswersAndRestarts(t *testing.T) {
	dir := t.TempDir()
	b := setUp(t, usagetest.Start(t), dir)
	b.server.LoseEvery(3)
	ctx, stop := context.WithCancel(t.Context())
	var running, counting sync.WaitGroup
	running.Go(func() { _ = b.exporter.Run(ctx) })
	const each = 300_000
	for range 2 {
		counting.Go(func() {
			for range each {
				b.account.Published(1, 128)
				b.account.Delivered(2, 256)
			}
		})
	}
	for range 3 {
		waitFor(t, b.server.Exports()+3, b.server.Exports)
		b.server.Stop()
		b.server.Start(t)
		b.account.Published(1, 128) // so that there is something to export
	}
	counting.Wait()
	stop()
	running.Wait()
	flush(t, b.exporter)
	want := billing.AccountUsage{
		Account:   keyA,
		Published: 2*each + 3, PublishedBytes: 128 * (2*each + 3),
		Delivered: 4 * each, DeliveredBytes: 512 * each,
	}
	if got := b.server.Total(t, keyA); got != want {
		t.Errorf("ledger has %+v, want %+v", got, want)
	}
	b.account.Release()
	if err := b.meter.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("left after a graceful stop: %v", left)
	}
}

// waitFor polls until get reaches n.
func waitFor(t *testing.T, n int64, get func() int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for get() < n {
		select {
		case <-ctx.Done():
			t.Fatalf("still %d, want %d", get(), n)
		case <-tick.C:
		}
	}
}

func TestCountsOfADeadIncarnationAreReported(t *testing.T) {
	dir, server := t.TempDir(), usagetest.Start(t)
	dead := setUp(t, server, dir)
	dead.account.Published(3, 30)
	if err := dead.exporter.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	dead.account.Published(4, 40) // never exported by itself
	if err := dead.meter.Close(); err != nil {
		t.Fatal(err)
	}
	next := setUp(t, server, dir)
	next.account.Published(5, 50)
	flush(t, next.exporter)
	if got := server.Total(t, keyA).Published; got != 12 {
		t.Errorf("published %d, want 12", got)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.usage"))
	if err != nil || len(files) != 1 {
		t.Errorf("files %v, %v; want the successor's own", files, err)
	}
}

func TestNothingIsSentWhenNothingHappens(t *testing.T) {
	server := usagetest.Start(t)
	m, err := meter.Open("", meter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := export.New(t.Context(), m, receipts{server}, export.Config{Endpoint: server.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Account(keyA)
	if err != nil {
		t.Fatal(err)
	}
	a.Published(1, 1)
	flush(t, e)
	before := server.Exports()
	for range 3 {
		if err := e.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.Exports(); n != before {
		t.Errorf("%d exports of nothing", n-before)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestControlPlaneAwayIsShownAndHealed(t *testing.T) {
	b := setUp(t, usagetest.Start(t), t.TempDir())
	b.server.Stop()
	b.account.Published(1, 1)
	if err := b.exporter.Round(t.Context()); err == nil {
		t.Error("exported to nobody")
	}
	if b.exporter.Unreceipted() <= 0 {
		t.Error("unreceipted counts are not shown")
	}
	b.server.Start(t)
	flush(t, b.exporter)
	if age := b.exporter.Unreceipted(); age != 0 {
		t.Errorf("unreceipted for %v after a flush", age)
	}
}

func TestLedgerThatLostItsRowsGetsThemAgain(t *testing.T) {
	b := setUp(t, usagetest.Start(t), t.TempDir())
	b.account.Published(7, 70)
	flush(t, b.exporter)

	b.server.Stop()
	empty, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "usage.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		b.server.Stop()
		if err := empty.Close(); err != nil {
			t.Error(err)
		}
	}()
	full := b.server.Ledger
	b.server.Ledger = empty
	b.server.Start(t)
	waitFor(t, 7, func() int64 {
		_ = b.exporter.Round(t.Context()) // fails until the connection is back
		return b.server.Total(t, keyA).Published
	})
	b.server.Stop()
	b.server.Ledger = full
}

func TestExportOverMutualTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	web.Close()
	pool := x509.NewCertPool()
	pool.AddCert(web.Certificate())
	pair := web.TLS.Certificates
	server := usagetest.Start(t, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: pair, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13,
	})))
	m, err := meter.Open("", meter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := m.Account(keyA)
	if err != nil {
		t.Fatal(err)
	}
	a.Published(1, 1)
	for _, c := range []struct {
		name string
		tls  *tls.Config
		want bool
	}{
		{"no TLS", nil, false},
		{"no client certificate", &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, false},
		{"unknown server", &tls.Config{Certificates: pair, MinVersion: tls.VersionTLS13}, false},
		{"mutual", &tls.Config{RootCAs: pool, Certificates: pair, MinVersion: tls.VersionTLS13}, true},
	} {
		e, err := export.New(t.Context(), m, receipts{server}, export.Config{
			Endpoint: server.Addr(), TLS: c.tls, Timeout: 2 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Round(t.Context()); (err == nil) != c.want {
			t.Errorf("%s: Round = %v", c.name, err)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := server.Total(t, keyA).Published; got != 1 {
		t.Errorf("published %d, want 1", got)
	}
}

func TestFlushEndsWithItsContext(t *testing.T) {
	b := setUp(t, usagetest.Start(t), t.TempDir())
	b.server.Stop()
	b.account.Published(1, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := b.exporter.Flush(ctx); err == nil {
		t.Error("flushed to nobody")
	}
}
