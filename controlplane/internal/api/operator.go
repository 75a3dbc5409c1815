package api

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

// operatorService implements covey.admin.v1.OperatorService.
type operatorService struct {
	adminv1.UnimplementedOperatorServiceServer
	*Server
}

// GetOperator implements covey.admin.v1.
func (s *operatorService) GetOperator(ctx context.Context, req *adminv1.GetOperatorRequest) (*adminv1.GetOperatorResponse, error) {
	v, err := s.store.View(callOf(ctx).principal.Scope(), "")
	if err != nil {
		return nil, err
	}
	o, err := tenancy.OperatorOf(ctx, v)
	if err != nil {
		return nil, err
	}
	out, err := operatorProto(o, req.GetRetirePublicKey())
	if err != nil {
		return nil, err
	}
	brokers, err := s.fleet.Brokers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read brokers: %w", err)
	}
	for _, k := range out.GetKeys() {
		if k.GetState() == adminv1.OperatorSigningKey_STATE_STAGED && k.GetAnnounceTime() != nil {
			countKnowing(k, brokers, o.Announced)
		}
	}
	return &adminv1.GetOperatorResponse{Operator: out}, nil
}

func countKnowing(k *adminv1.OperatorSigningKey, brokers []operation.Broker, revision int64) {
	for _, b := range brokers {
		if !b.Leased {
			continue
		}
		k.BrokersTotal++
		if b.AckedRevision >= revision {
			k.BrokersKnowing++
		}
	}
}

// StageOperatorKey implements covey.admin.v1.
func (s *operatorService) StageOperatorKey(ctx context.Context, req *adminv1.StageOperatorKeyRequest) (*adminv1.StageOperatorKeyResponse, error) {
	return write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.StageOperatorKeyResponse, error) {
		o, err := s.tenancy.StageOperatorKey(ctx, tx)
		if err != nil {
			return nil, err
		}
		out, err := operatorProto(o, "")
		return &adminv1.StageOperatorKeyResponse{Operator: out}, err
	})
}

// PromoteOperatorKey implements covey.admin.v1.
func (s *operatorService) PromoteOperatorKey(ctx context.Context, req *adminv1.PromoteOperatorKeyRequest) (*adminv1.PromoteOperatorKeyResponse, error) {
	return write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.PromoteOperatorKeyResponse, error) {
		o, err := s.tenancy.PromoteOperatorKey(ctx, tx, req.GetOperatorJwt())
		if err != nil {
			return nil, err
		}
		out, err := operatorProto(o, "")
		return &adminv1.PromoteOperatorKeyResponse{Operator: out}, err
	})
}

// RetireOperatorKey implements covey.admin.v1.
func (s *operatorService) RetireOperatorKey(ctx context.Context, req *adminv1.RetireOperatorKeyRequest) (*adminv1.RetireOperatorKeyResponse, error) {
	return write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.RetireOperatorKeyResponse, error) {
		o, err := s.tenancy.RetireOperatorKey(ctx, tx, req.GetPublicKey(), req.GetOperatorJwt(), req.GetForce())
		if err != nil {
			return nil, err
		}
		out, err := operatorProto(o, "")
		return &adminv1.RetireOperatorKeyResponse{Operator: out, Dependents: o.Dependents}, err
	})
}

func operatorProto(o tenancy.Operator, without string) (*adminv1.Operator, error) {
	out := &adminv1.Operator{
		PublicKey: o.Installation.RootKey, Jwt: o.JWT, SystemAccount: o.Installation.SystemAccount,
		RootCustody: adminv1.Operator_ROOT_CUSTODY_SEALED,
	}
	if len(o.Installation.SealedRoot) == 0 {
		out.RootCustody = adminv1.Operator_ROOT_CUSTODY_OFFLINE
	}
	states := map[store.KeyState]adminv1.OperatorSigningKey_State{
		store.KeyStaged: adminv1.OperatorSigningKey_STATE_STAGED, store.KeyActive: adminv1.OperatorSigningKey_STATE_ACTIVE,
		store.KeyVerifyOnly: adminv1.OperatorSigningKey_STATE_VERIFY_ONLY, store.KeyRetired: adminv1.OperatorSigningKey_STATE_RETIRED,
	}
	for _, k := range o.Keys {
		out.Keys = append(out.Keys, &adminv1.OperatorSigningKey{
			PublicKey: k.PublicKey, State: states[k.State], CreateTime: timestampOf(k.CreateTime), AnnounceTime: timestampOf(k.AnnounceTime),
			PromoteTime: timestampOf(k.PromoteTime), RetireTime: timestampOf(k.RetireTime),
		})
	}
	if r := o.Resigning; r != nil {
		out.Resigning = &adminv1.Resigning{
			PublicKey: r.Key, AccountsDone: r.Looked, AccountsTotal: max(r.Total, r.Looked),
			StartTime: timestamppb.New(r.StartTime.Truncate(time.Second)), FinishTime: timestampOf(r.FinishTime),
		}
	}
	if !o.Pending(without) {
		return out, nil
	}
	var err error
	out.SigningRequest, err = o.Request(without).Text()
	return out, err
}
