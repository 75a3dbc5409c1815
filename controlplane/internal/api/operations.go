package api

import (
	"context"
	"fmt"
	"time"

	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/lifecycle"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const (
	waitDefault = 30 * time.Second
	waitMax     = 60 * time.Second

	spreadPollMin = 20 * time.Millisecond // while claims of further accounts are written
	spreadPollMax = 500 * time.Millisecond

	waitMargin = 500 * time.Millisecond // kept of the caller's deadline to bring the answer home
)

type operations struct {
	apiv1.UnimplementedOperationServiceServer
	*Server
}

// GetOperation implements apiv1.OperationServiceServer.
func (s *operations) GetOperation(ctx context.Context, req *apiv1.GetOperationRequest) (*apiv1.GetOperationResponse, error) {
	op, err := s.read(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	brokers, err := s.fleet.Brokers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read brokers: %w", err)
	}
	fillOperation(op, brokers)
	return &apiv1.GetOperationResponse{Operation: op}, nil
}

func (s *operations) read(ctx context.Context, resource string) (*apiv1.Operation, error) {
	v, n, err := s.view(ctx, resource)
	if err != nil {
		return nil, err
	}
	o, err := v.Operation(ctx, n.operation)
	if err != nil {
		return nil, err
	}
	if !authz.Reaches(callOf(ctx).principal, aboutOf(o.Target).Account) {
		return nil, store.ErrNotFound
	}
	return operationProto(n.organization, o), nil
}

// ListOperations implements apiv1.OperationServiceServer.
func (s *operations) ListOperations(ctx context.Context, req *apiv1.ListOperationsRequest) (*apiv1.ListOperationsResponse, error) {
	page, v, n, err := s.parent(ctx, req)
	if err != nil {
		return nil, err
	}
	if _, err := v.Org(ctx); err != nil {
		return nil, err
	}
	list, next, err := v.Operations(ctx, page)
	if err != nil {
		return nil, err
	}
	brokers, err := s.fleet.Brokers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read brokers: %w", err)
	}
	resp := &apiv1.ListOperationsResponse{NextPageToken: store.Token(next)}
	for _, o := range list {
		op := operationProto(n.organization, o)
		fillOperation(op, brokers)
		resp.Operations = append(resp.Operations, op)
	}
	return resp, nil
}

// WaitOperation implements apiv1.OperationServiceServer.
func (s *operations) WaitOperation(ctx context.Context, req *apiv1.WaitOperationRequest) (*apiv1.WaitOperationResponse, error) {
	until := operation.Enforced
	switch req.GetUntil() {
	case apiv1.Operation_STATE_UNSPECIFIED, apiv1.Operation_STATE_ENFORCED:
	case apiv1.Operation_STATE_DONE:
		until = operation.Done
	case apiv1.Operation_STATE_RUNNING:
		return nil, errs.New(errs.Invalid, "INVALID_UNTIL", "every operation begins as running").WithField("until").WithNext("wait for ENFORCED or DONE")
	}
	timeout := waitDefault
	if t := req.GetTimeout(); t != nil {
		timeout = t.AsDuration()
	}
	if timeout < 0 || timeout > waitMax {
		return nil, errs.New(errs.Invalid, "INVALID_TIMEOUT", "the timeout is %s", timeout).WithField("timeout").WithNext("use 0 to %s", waitMax)
	}
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline)-waitMargin)
	}
	op, err := s.read(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	waitCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if op, err = s.spread(ctx, waitCtx, op); err != nil {
		return nil, err
	}
	brokers, _, err := operation.Wait(waitCtx, s.fleet, op.GetRevision(), until)
	if err != nil && waitCtx.Err() != nil && ctx.Err() == nil {
		brokers, err = s.fleet.Brokers(ctx) // the timeout was too short to read even once
	}
	if err != nil {
		return nil, fmt.Errorf("wait for operation: %w", err)
	}
	fillOperation(op, brokers)
	return &apiv1.WaitOperationResponse{Operation: op}, nil
}

// spread waits while claims of further accounts are written. Afterwards it reads
// the operation once more: only then does its revision stand.
func (s *operations) spread(ctx, wait context.Context, op *apiv1.Operation) (*apiv1.Operation, error) {
	backoff := lifecycle.Backoff{Min: spreadPollMin, Max: spreadPollMax}
	for op.GetSpreading() && backoff.Wait(wait) == nil {
		next, err := s.read(ctx, op.GetName())
		if err != nil {
			return nil, err
		}
		op = next
	}
	return op, nil
}
