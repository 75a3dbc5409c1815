package api

import (
	"context"
	"fmt"
	"time"

	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// StageKey implements apiv1.RoleServiceServer.
func (s *roles) StageKey(ctx context.Context, req *apiv1.StageKeyRequest) (*apiv1.StageKeyResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.StageKeyResponse, error) {
		out, err := s.tenancy.StageKey(ctx, tx, "StageKey", n.account, n.role, req.GetEtag())
		role, op := n.roleChange(out)
		return &apiv1.StageKeyResponse{Role: role, Operation: op}, err
	})
}

// PromoteKey implements apiv1.RoleServiceServer.
func (s *roles) PromoteKey(ctx context.Context, req *apiv1.PromoteKeyRequest) (*apiv1.PromoteKeyResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	known := func(op store.Operation) (bool, error) {
		brokers, err := s.fleet.Brokers(ctx)
		if err != nil {
			return false, fmt.Errorf("read brokers: %w", err)
		}
		return operation.StateOf(brokers, op.Revision, time.Now()) >= operation.Enforced, nil
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.PromoteKeyResponse, error) {
		r, err := s.tenancy.PromoteKey(ctx, tx, n.account, n.role, req.GetEtag(), known)
		return &apiv1.PromoteKeyResponse{Role: roleProto(n.organization, n.account, r)}, err
	})
}

// RetireKey implements apiv1.RoleServiceServer.
func (s *roles) RetireKey(ctx context.Context, req *apiv1.RetireKeyRequest) (*apiv1.RetireKeyResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.RetireKeyResponse, error) {
		out, err := s.tenancy.RetireKey(ctx, tx, "RetireKey", n.account, n.role, req.GetEtag(), req.GetPublicKey(), req.GetForce())
		role, op := n.roleChange(out)
		return &apiv1.RetireKeyResponse{
			Role: role, Operation: op, Dependents: n.firstDependents(out.Dependents), DependentCount: count(out.Dependents),
		}, err
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		return s.touchesKeys(ctx, tx.View, n.account, []string{req.GetPublicKey()})
	})
}

// RotateKeyNow implements apiv1.RoleServiceServer.
func (s *roles) RotateKeyNow(ctx context.Context, req *apiv1.RotateKeyNowRequest) (*apiv1.RotateKeyNowResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.RotateKeyNowResponse, error) {
		out, err := s.tenancy.RotateKeyNow(ctx, tx, "RotateKeyNow", n.account, n.role, req.GetEtag())
		role, op := n.roleChange(out)
		return &apiv1.RotateKeyNowResponse{
			Role: role, Operation: op, Dependents: n.firstDependents(out.Dependents), DependentCount: count(out.Dependents),
		}, err
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		r, err := tx.Role(ctx, n.account, n.role)
		if err != nil {
			return touched{}, err
		}
		return s.touchesKeys(ctx, tx.View, n.account, tenancy.LiveKeys(r))
	})
}

func count(list []store.Credential) int32 {
	return int32(min(len(list), 1<<30)) //nolint:gosec // bounded
}

// ListKeyDependents implements apiv1.RoleServiceServer.
func (s *roles) ListKeyDependents(ctx context.Context, req *apiv1.ListKeyDependentsRequest) (*apiv1.ListKeyDependentsResponse, error) {
	page, err := store.ParsePage(req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	list, err := s.tenancy.Dependents(ctx, v, n.account, n.role, req.GetPublicKey())
	if err != nil {
		return nil, err
	}
	for len(list) > 0 && list[0].ID <= page.After {
		list = list[1:]
	}
	resp := &apiv1.ListKeyDependentsResponse{}
	if len(list) > page.Size {
		list = list[:page.Size]
		resp.NextPageToken = store.Token(list[page.Size-1].ID)
	}
	resp.Dependents = n.dependents(list)
	return resp, nil
}
