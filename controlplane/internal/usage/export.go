package usage

import (
	"context"
	"errors"
	"time"

	colmetricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/internal/errs"
)

// The reasons for quarantine.
const (
	reasonUnknown = "account is not known"
	reasonFuture  = "hour has not begun"
)

// Export implements the OTLP metrics service.
func (r *Receiver) Export(ctx context.Context, req *colmetricpb.ExportMetricsServiceRequest) (*colmetricpb.ExportMetricsServiceResponse, error) {
	d, err := decode(req)
	if err != nil {
		r.log.Error("usage refused", "err", err)
		return nil, toStatus(err)
	}
	if err := r.keep(ctx, d.samples); err != nil {
		return nil, toStatus(err)
	}
	return &colmetricpb.ExportMetricsServiceResponse{PartialSuccess: d.partial()}, nil
}

// keep returns after the samples are in the ledger.
func (r *Receiver) keep(ctx context.Context, samples []billing.Sample) error {
	if len(samples) == 0 {
		return nil
	}
	e, err := r.sort(ctx, samples, time.Now())
	if err != nil {
		return err
	}
	select {
	case r.queue <- e:
	default:
		return errBusy
	}
	select {
	case err := <-e.done:
		return err
	case <-r.stopped:
		return errStopping
	case <-ctx.Done():
		return ctx.Err() // it may be committed all the same; sending it again changes nothing
	}
}

// sort parts what is charged from what is held back.
func (r *Receiver) sort(ctx context.Context, samples []billing.Sample, now time.Time) (*export, error) {
	e := &export{held: make(map[string][]billing.Sample), done: make(chan error, 1)}
	newest := billing.WindowOf(now.Add(clockTolerance))
	for _, s := range samples {
		known, err := r.knows(ctx, s.Account)
		switch {
		case err != nil:
			return nil, err
		case !known:
			e.held[reasonUnknown] = append(e.held[reasonUnknown], s)
		case s.Window > newest:
			e.held[reasonFuture] = append(e.held[reasonFuture], s)
		default:
			e.samples = append(e.samples, s)
		}
	}
	return e, nil
}

// knows reports whether the account exists or ever did: what an account used
// before it was deleted is still owed.
func (r *Receiver) knows(ctx context.Context, account string) (bool, error) {
	if r.accounts == nil {
		return true, nil
	}
	if _, ok := r.known.Load(account); ok {
		return true, nil
	}
	known, err := r.accounts.KnownAccount(ctx, account)
	if err == nil && !known {
		known, err = r.ledger.HasAccount(ctx, account)
	}
	if err != nil {
		r.log.Error("account cannot be looked up", "account", account, "err", err)
		return false, errAccounts
	}
	if known {
		r.known.Store(account, struct{}{})
	}
	return known, nil
}

// toStatus is what an exporter is told: to mend what it sends, or to come back.
func toStatus(err error) error {
	var refused *errs.Error
	switch {
	case errors.As(err, &refused) && refused.Code == errs.Invalid:
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	st := status.New(codes.Unavailable, err.Error())
	if with, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)}); err == nil {
		st = with
	}
	return st.Err()
}
