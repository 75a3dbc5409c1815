package export

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"

	"github.com/coveymq/covey/dataplane/internal/meter"
	"github.com/coveymq/covey/internal/lifecycle"
)

// Receipt is what the ledger holds of one incarnation and hour.
type Receipt struct {
	Window int64  // Unix seconds of the UTC hour's beginning
	Series int64  // how many (account, class, meter)
	Total  uint64 // the sum of their values, modulo 2^64
	Hash   uint64 // XOR of a hash of each
}

// Receipts asks the control plane, over its own connection and not over OTLP,
// what the ledger holds of an incarnation.
type Receipts interface {
	GetUsageReceipt(ctx context.Context, incarnation string, windows []int64) ([]Receipt, error)
}

// ReceiptsFunc is a function that is Receipts.
type ReceiptsFunc func(ctx context.Context, incarnation string, windows []int64) ([]Receipt, error)

// GetUsageReceipt calls f.
func (f ReceiptsFunc) GetUsageReceipt(ctx context.Context, incarnation string, windows []int64) ([]Receipt, error) {
	return f(ctx, incarnation, windows)
}

// Config says where usage goes. Endpoint is required; what is zero besides it
// has a default.
type Config struct {
	Endpoint string        // host:port of an OTLP/gRPC receiver or collector
	TLS      *tls.Config   // nil: plaintext, for a collector on the same host and for tests
	Interval time.Duration // between exports of what has changed; 2 s
	Resend   time.Duration // between exports of everything; 5 min
	Timeout  time.Duration // of one export, and of asking for receipts; 10 s
	Logger   *slog.Logger  // nil: silent
}

const (
	intervalDefault = 2 * time.Second
	resendDefault   = 5 * time.Minute
	timeoutDefault  = 10 * time.Second
	// pointsMax keeps a request near 1 MB, well under the 4 MiB that gRPC servers
	// accept by default.
	pointsMax = 8000
	// retryMax bounds the pause between tries while the control plane is away.
	retryMax = 5 * time.Second
	// flushRetryFirst and flushRetryMax space the tries of a Flush, which is in a hurry.
	flushRetryFirst = 20 * time.Millisecond
	flushRetryMax   = 500 * time.Millisecond
)

func (c *Config) setDefaults() {
	if c.Interval == 0 {
		c.Interval = intervalDefault
	}
	if c.Resend == 0 {
		c.Resend = resendDefault
	}
	if c.Timeout == 0 {
		c.Timeout = timeoutDefault
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Exporter sends one meter's usage, and that of the incarnations it adopted.
type Exporter struct {
	// Immutable after New.
	cfg      Config
	meter    *meter.Meter
	receipts Receipts
	log      *slog.Logger

	oldest  atomic.Int64 // Unix nanoseconds since when something is unreceipted; 0: nothing is
	round   sync.Mutex   // one round at a time; guards what follows
	wire    wire
	books   []*book
	failing bool // the last round failed, and that was logged
}

// wire is what of the OTLP exporter is used.
type wire interface {
	Export(ctx context.Context, m *metricdata.ResourceMetrics) error
	Shutdown(ctx context.Context) error
}

// New returns an exporter of m. It does not connect before it has something to
// send.
func New(ctx context.Context, m *meter.Meter, receipts Receipts, cfg Config) (*Exporter, error) {
	cfg.setDefaults()
	opts := []otlpmetricgrpc.Option{
		otlpmetricgrpc.WithEndpoint(cfg.Endpoint),
		otlpmetricgrpc.WithTimeout(cfg.Timeout),
		otlpmetricgrpc.WithCompressor("gzip"),
		// The next round sends newer counts than a repeat could.
		otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{Enabled: false}),
		otlpmetricgrpc.WithDialOption(grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: retryMax},
			MinConnectTimeout: cfg.Timeout,
		})),
	}
	if cfg.TLS != nil {
		opts = append(opts, otlpmetricgrpc.WithTLSCredentials(credentials.NewTLS(cfg.TLS)))
	} else {
		opts = append(opts, otlpmetricgrpc.WithInsecure())
	}
	w, err := otlpmetricgrpc.New(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("make usage exporter: %w", err)
	}
	return newExporter(m, receipts, cfg, w), nil
}

func newExporter(m *meter.Meter, receipts Receipts, cfg Config, w wire) *Exporter {
	e := &Exporter{cfg: cfg, meter: m, receipts: receipts, log: cfg.Logger, wire: w}
	e.books = append(e.books, newBook(m))
	for _, o := range m.Orphans() {
		e.books = append(e.books, newBook(o))
	}
	return e
}

// Run exports until ctx ends. Call Flush after it for a graceful stop, then
// Close.
func (e *Exporter) Run(ctx context.Context) error {
	retry := lifecycle.Backoff{Min: e.cfg.Interval, Max: max(retryMax, e.cfg.Interval)}
	tick := time.NewTicker(e.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if e.Round(ctx) == nil {
			retry.Reset()
			continue
		}
		if retry.Wait(ctx) != nil {
			return nil
		}
	}
}

// Flush exports until the ledger has a receipt for everything, or ctx ends.
// Nothing is lost if it fails: the usage file stays for the next start.
func (e *Exporter) Flush(ctx context.Context) error {
	retry := lifecycle.Backoff{Min: flushRetryFirst, Max: flushRetryMax}
	for {
		err := e.Round(ctx)
		if err == nil && e.settle() {
			return nil
		}
		if waitErr := retry.Wait(ctx); waitErr != nil {
			return errors.Join(fmt.Errorf("flush usage: %w", waitErr), err)
		}
	}
}

// Close ends the connection.
func (e *Exporter) Close(ctx context.Context) error {
	e.round.Lock()
	defer e.round.Unlock()
	if err := e.wire.Shutdown(ctx); err != nil {
		return fmt.Errorf("close usage exporter: %w", err)
	}
	return nil
}

// Unreceipted is for how long the broker has had counts that the ledger is not
// known to hold. It is the one number to watch: a minute is worth a look.
func (e *Exporter) Unreceipted() time.Duration {
	since := e.oldest.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}

// Round exports once what is due and compares receipts. Run does this on its
// own; tests and operators may ask for one more.
func (e *Exporter) Round(ctx context.Context) error {
	e.round.Lock()
	defer e.round.Unlock()
	var failed error
	for i := 0; i < len(e.books); i++ {
		b := e.books[i]
		b.read(time.Now())
		if err := e.report(ctx, b); err != nil {
			failed = errors.Join(failed, err)
		}
		if o, ok := b.source.(*meter.Orphan); ok && b.receipted() {
			e.finish(o)
			e.books = append(e.books[:i], e.books[i+1:]...)
			i--
		}
	}
	e.noteAge()
	e.noteFailure(ctx, failed)
	return failed
}

// report sends what is due of one incarnation and asks for receipts.
func (e *Exporter) report(ctx context.Context, b *book) error {
	now := time.Now()
	if err := e.send(ctx, b, b.due(now, e.cfg.Resend)); err != nil {
		return err
	}
	windows := b.unreceipted()
	if len(windows) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	receipts, err := e.receipts.GetUsageReceipt(ctx, b.source.IncarnationID(), windows)
	if err != nil {
		return fmt.Errorf("get usage receipt: %w", err)
	}
	for _, r := range receipts {
		b.compare(r, now)
	}
	e.forget(b)
	return nil
}

// forget drops hours that are over and receipted, oldest first.
func (e *Exporter) forget(b *book) {
	if b.source != source(e.meter) {
		return
	}
	for _, w := range b.closed(e.meter.Window()) {
		if !b.windows[w].receipted() || !e.meter.Forget(w, b.windows[w].series()) {
			return
		}
		delete(b.windows, w)
	}
}

// finish deletes the file of an incarnation that the ledger holds completely.
func (e *Exporter) finish(o *meter.Orphan) {
	if err := o.Delete(); err != nil {
		e.log.Warn("adopted usage file cannot be deleted", "incarnation", o.IncarnationID(), "err", err)
		return
	}
	e.log.Info("adopted usage is in the ledger", "incarnation", o.IncarnationID())
}

// settle reports whether every count of every incarnation is in the ledger.
func (e *Exporter) settle() bool {
	e.round.Lock()
	defer e.round.Unlock()
	if len(e.books) > 1 || !e.books[0].receipted() {
		return false
	}
	return e.meter.Settle(e.books[0].series())
}

func (e *Exporter) noteAge() {
	var oldest int64
	for _, b := range e.books {
		for _, w := range b.windows {
			if since := w.since; !since.IsZero() && (oldest == 0 || since.UnixNano() < oldest) {
				oldest = since.UnixNano()
			}
		}
	}
	e.oldest.Store(oldest)
}

// noteFailure logs the first failure of several in a row, and their end.
func (e *Exporter) noteFailure(ctx context.Context, err error) {
	switch {
	case err != nil && ctx.Err() == nil && !e.failing:
		e.failing = true
		e.log.Warn("usage is not reported; it is kept and tried again", "addr", e.cfg.Endpoint, "err", err)
	case err == nil && e.failing:
		e.failing = false
		e.log.Info("usage is reported again", "addr", e.cfg.Endpoint)
	}
}
