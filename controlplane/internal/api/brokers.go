package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const brokerNames = "brokers/"

var errRevokedBroker = errs.New(errs.Precondition, "BROKER_REVOKED", "the broker's certificates were revoked, for good").
	WithNext("enrol it anew: stop it, empty its state directory and give it a join token")

// brokerService implements covey.admin.v1.BrokerService.
type brokerService struct {
	adminv1.UnimplementedBrokerServiceServer
	*Server
}

// ListBrokers implements covey.admin.v1.
func (s *brokerService) ListBrokers(ctx context.Context, _ *adminv1.ListBrokersRequest) (*adminv1.ListBrokersResponse, error) {
	brokers, err := s.fleet.Brokers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read brokers: %w", err)
	}
	now := time.Now()
	resp := &adminv1.ListBrokersResponse{}
	for _, b := range brokers {
		if !b.Stock {
			resp.Brokers = append(resp.Brokers, brokerProto(b, now))
		}
	}
	slices.SortFunc(resp.Brokers, func(a, b *adminv1.Broker) int { return strings.Compare(a.GetName(), b.GetName()) })
	return resp, nil
}

// GetBroker implements covey.admin.v1.
func (s *brokerService) GetBroker(ctx context.Context, req *adminv1.GetBrokerRequest) (*adminv1.GetBrokerResponse, error) {
	b, err := s.broker(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return &adminv1.GetBrokerResponse{Broker: brokerProto(b, time.Now())}, nil
}

func (s *brokerService) broker(ctx context.Context, name string) (operation.Broker, error) {
	brokers, err := s.fleet.Brokers(ctx)
	if err != nil {
		return operation.Broker{}, fmt.Errorf("read brokers: %w", err)
	}
	for _, b := range brokers {
		if !b.Stock && brokerNames+b.ID == name {
			return b, nil
		}
	}
	return operation.Broker{}, store.ErrNotFound
}

// DrainBroker implements covey.admin.v1.
func (s *brokerService) DrainBroker(ctx context.Context, req *adminv1.DrainBrokerRequest) (*adminv1.DrainBrokerResponse, error) {
	b, err := s.broker(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	resp, err := write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.DrainBrokerResponse, error) {
		b.Draining = true
		return &adminv1.DrainBrokerResponse{Broker: brokerProto(b, tx.Now)}, want(ctx, tx, b, req.GetReason(), false)
	})
	if err == nil && req.GetValidateOnly() {
		resp.Impact = brokerImpact(b, time.Now())
	}
	return resp, err
}

// UndrainBroker implements covey.admin.v1.
func (s *brokerService) UndrainBroker(ctx context.Context, req *adminv1.UndrainBrokerRequest) (*adminv1.UndrainBrokerResponse, error) {
	b, err := s.broker(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.UndrainBrokerResponse, error) {
		b.Draining = false
		return &adminv1.UndrainBrokerResponse{Broker: brokerProto(b, tx.Now)}, want(ctx, tx, b, req.GetReason(), false)
	})
}

// RevokeBroker implements covey.admin.v1.
func (s *brokerService) RevokeBroker(ctx context.Context, req *adminv1.RevokeBrokerRequest) (*adminv1.RevokeBrokerResponse, error) {
	b, err := s.broker(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	resp, err := write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.RevokeBrokerResponse, error) {
		b.Revoked = true
		return &adminv1.RevokeBrokerResponse{Broker: brokerProto(b, tx.Now)}, want(ctx, tx, b, req.GetReason(), true)
	})
	if err == nil && req.GetValidateOnly() {
		resp.Impact = brokerImpact(b, time.Now())
	}
	return resp, err
}

// brokerImpact is what it means when a broker lets go of its clients, as many as it
// said that it has.
func brokerImpact(b operation.Broker, now time.Time) *apiv1.Impact {
	none := int64(0)
	out := &apiv1.Impact{Credentials: &none}
	switch why := uncounted(b, false, now); {
	case b.Leased:
		out.Connections, out.BrokersCounted = b.Connections, 1
	case why != "":
		out.Connections, out.BrokersMissing, out.Incomplete = b.Connections, 1, true
		out.UncountedBrokers = []*apiv1.UncountedBroker{{Broker: b.ID, DisplayName: b.ServerName, Reason: why}}
	}
	return out
}

// want writes down what a broker is to do.
func want(ctx context.Context, tx *store.Tx, b operation.Broker, reason string, revoke bool) error {
	o, err := tx.BrokerOrder(ctx, b.ID)
	if err != nil {
		return err
	}
	if o.Revoked && !revoke {
		return errRevokedBroker
	}
	o.Draining, o.Revoked, o.Reason = b.Draining, revoke, reason
	return tx.PutBrokerOrder(b.ID, o)
}

func brokerProto(b operation.Broker, now time.Time) *adminv1.Broker {
	return &adminv1.Broker{
		Name: brokerNames + b.ID, ServerName: b.ServerName, Version: b.Version, State: brokerState(b, now),
		Connections: b.Connections, Accounts: b.Accounts,
		AcknowledgedRevision: b.AckedRevision, AcknowledgeTime: timestampOf(b.AckTime),
		EnrolTime: timestampOf(b.EnrolTime), LastContactTime: timestampOf(b.LastContact), ServeUntilTime: timestampOf(b.ServeUntil),
	}
}

func timestampOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func brokerState(b operation.Broker, now time.Time) adminv1.Broker_State {
	switch {
	case b.Revoked:
		return adminv1.Broker_STATE_REVOKED
	case b.Leased && b.Draining:
		return adminv1.Broker_STATE_DRAINING
	case b.Leased:
		return adminv1.Broker_STATE_SERVING
	case b.Exited || !now.Before(b.ServeUntil):
		return adminv1.Broker_STATE_GONE
	}
	return adminv1.Broker_STATE_AWAY
}

// joinTokenLife is how long a join token is good unless the request says.
const joinTokenLife = time.Hour

// CreateJoinToken implements covey.admin.v1. A token that a try made which is not
// in force is known to nobody, and ends by itself.
func (s *brokerService) CreateJoinToken(ctx context.Context, req *adminv1.CreateJoinTokenRequest) (*adminv1.CreateJoinTokenResponse, error) {
	ttl := joinTokenLife
	if req.GetTtl() != nil {
		ttl = req.GetTtl().AsDuration()
	}
	return write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.CreateJoinTokenResponse, error) {
		resp := &adminv1.CreateJoinTokenResponse{ExpireTime: timestamppb.New(tx.Now.Add(ttl))}
		if req.GetValidateOnly() {
			return resp, nil // a dry run makes nothing that is good
		}
		token, err := s.authority.JoinToken(ctx, ttl)
		resp.JoinToken = token.Reveal()
		return resp, err
	})
}
