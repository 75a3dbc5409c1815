// Package usage is where brokers' usage enters the control plane: an OTLP
// metrics receiver in front of the usage ledger. It owns the translation from
// OTLP to samples and the grouping of commits; the ledger owns the rows.
//
// An export is answered only after the ledger has committed it. Since the
// ledger keeps the maximum of each counter, an export may come twice, late,
// or after one that is newer.
//
// Run commits; Export and ServeHTTP may be called from any goroutine.
package usage

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	colmetricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // exporters and collectors compress

	"github.com/coveymq/covey/billing"
)

// AccountKnower says which accounts exist.
type AccountKnower interface {
	// KnownAccount reports whether the account exists, or did.
	KnownAccount(ctx context.Context, publicKey string) (bool, error)
}

// Options are what a Receiver needs beyond its ledger. The zero value works.
type Options struct {
	Logger   *slog.Logger  // nil: silent
	Accounts AccountKnower // nil: every account is known
}

// RequestBytesMax is the message size that a gRPC server with a Receiver must
// accept: twice a full chunk of a broker's exporter, for collectors that batch.
const RequestBytesMax = 16 << 20

const (
	// commitDelay is how long a commit waits for others to join it. A commit
	// costs one fsync however many exports it holds.
	commitDelay = 10 * time.Millisecond
	// commitSamplesMax ends the wait early.
	commitSamplesMax = 64_000
	// queueMax is how many exports may wait for a commit; more are told to come
	// back later.
	queueMax = 256
	// retryAfter is what they are told.
	retryAfter = 2 * time.Second
	// clockTolerance is how far ahead a broker's clock may be.
	clockTolerance = 5 * time.Minute
)

// Receiver is an OTLP MetricsService that keeps usage in a ledger.
type Receiver struct {
	colmetricpb.UnimplementedMetricsServiceServer

	// Immutable after New.
	ledger   billing.Ledger
	accounts AccountKnower
	log      *slog.Logger
	queue    chan *export
	stopped  chan struct{} // closed when Run returns

	known sync.Map // public keys of accounts that exist or did; they never cease to have

	lower       atomic.Int64
	quarantined atomic.Int64
}

// export is one request that waits for its commit.
type export struct {
	samples []billing.Sample
	held    map[string][]billing.Sample // to be quarantined, by reason
	done    chan error                  // of capacity 1: the committer never waits for a caller that left
}

// New returns a receiver in front of ledger. It answers once Run runs.
func New(ledger billing.Ledger, opts Options) *Receiver {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Receiver{
		ledger:   ledger,
		accounts: opts.Accounts,
		log:      opts.Logger,
		queue:    make(chan *export, queueMax),
		stopped:  make(chan struct{}),
	}
}

// Register adds the receiver to a gRPC server.
func (r *Receiver) Register(s grpc.ServiceRegistrar) {
	colmetricpb.RegisterMetricsServiceServer(s, r)
}

// Lower is how many values came in lower than what the ledger had: stragglers
// behind a collector, or two brokers that share an incarnation id.
func (r *Receiver) Lower() int64 { return r.lower.Load() }

// Quarantined is how many samples were put into quarantine.
func (r *Receiver) Quarantined() int64 { return r.quarantined.Load() }

// Run commits what is exported until ctx ends; what waits then is refused, and
// sent again by the brokers. It is called once.
func (r *Receiver) Run(ctx context.Context) error {
	defer close(r.stopped)
	for {
		select {
		case <-ctx.Done():
			return nil
		case first := <-r.queue:
			group := r.gather(ctx, first)
			err := r.commit(ctx, group)
			for _, e := range group {
				e.done <- err
			}
		}
	}
}

// gather waits a moment for exports that can share first's commit.
func (r *Receiver) gather(ctx context.Context, first *export) []*export {
	group := []*export{first}
	size := len(first.samples)
	t := time.NewTimer(commitDelay)
	defer t.Stop()
	for size < commitSamplesMax {
		select {
		case e := <-r.queue:
			group = append(group, e)
			size += len(e.samples)
		case <-t.C:
			return group
		case <-ctx.Done():
			return group
		}
	}
	return group
}

// commit keeps what a group of exports brought. It is finished even if ctx
// ends: half of a stop is no reason to refuse what is already here.
func (r *Receiver) commit(ctx context.Context, group []*export) error {
	ctx = context.WithoutCancel(ctx)
	var samples []billing.Sample
	held := make(map[string][]billing.Sample)
	for _, e := range group {
		samples = append(samples, e.samples...)
		for reason, s := range e.held {
			held[reason] = append(held[reason], s...)
		}
	}
	for reason, s := range held {
		if err := r.ledger.Quarantine(ctx, s, reason); err != nil {
			return r.failed(err)
		}
		r.quarantined.Add(int64(len(s)))
		r.log.Warn("usage quarantined", "reason", reason, "samples", len(s),
			"account", s[0].Account, "incarnation", s[0].Incarnation)
	}
	if len(samples) == 0 {
		return nil
	}
	done, err := r.ledger.Record(ctx, samples)
	if err != nil {
		return r.failed(err)
	}
	if done.Lower > 0 {
		r.lower.Add(int64(done.Lower))
		r.log.Warn("usage was reported lower than before", "samples", done.Lower, "incarnation", samples[0].Incarnation)
	}
	return nil
}

func (r *Receiver) failed(err error) error {
	r.log.Error("usage ledger does not record", "err", err)
	return errLedger
}

// What an exporter hears; the cause is in the log.
var (
	errLedger   = errors.New("the usage ledger does not record now")
	errBusy     = errors.New("too many exports are waiting for the usage ledger")
	errStopping = errors.New("the control plane is stopping")
	errAccounts = errors.New("whether the account exists cannot be said now")
)
