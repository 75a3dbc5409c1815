package api

import (
	"context"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type accountService struct {
	apiv1.UnimplementedAccountServiceServer
	*Server
}

// CreateAccount implements apiv1.AccountServiceServer.
func (s *accountService) CreateAccount(ctx context.Context, req *apiv1.CreateAccountRequest) (*apiv1.CreateAccountResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	in := req.GetAccount()
	fields := tenancy.AccountFields{
		DisplayName: in.GetDisplayName(), Limits: limitsFrom(in.GetLimits()),
		CredentialTTL: seconds(in.GetDefaultCredentialTtlSeconds()), DeleteProtection: in.GetDeleteProtection(),
		AuthCallout: calloutFrom(in.GetAuthCallout()),
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.CreateAccountResponse, error) {
		out, err := s.tenancy.CreateAccount(ctx, tx, "CreateAccount", req.GetAccountId(), fields)
		if err != nil {
			return nil, err
		}
		return &apiv1.CreateAccountResponse{
			Account: accountProto(n.organization, out.Account), Operation: operationProto(n.organization, *out.Operation),
		}, nil
	})
}

// GetAccount implements apiv1.AccountServiceServer.
func (s *accountService) GetAccount(ctx context.Context, req *apiv1.GetAccountRequest) (*apiv1.GetAccountResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	a, err := v.Account(ctx, n.account)
	if err != nil {
		return nil, err
	}
	return &apiv1.GetAccountResponse{Account: accountProto(n.organization, a)}, nil
}

// ListAccounts implements apiv1.AccountServiceServer.
func (s *accountService) ListAccounts(ctx context.Context, req *apiv1.ListAccountsRequest) (*apiv1.ListAccountsResponse, error) {
	page, v, n, err := s.parent(ctx, req)
	if err != nil {
		return nil, err
	}
	if _, err := v.Org(ctx); err != nil {
		return nil, err
	}
	list, next, err := v.Accounts(ctx, page)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListAccountsResponse{NextPageToken: store.Token(next)}
	for _, a := range list {
		if a.Deleted() && !req.GetShowDeleted() {
			continue
		}
		resp.Accounts = append(resp.Accounts, accountProto(n.organization, a))
	}
	return resp, nil
}

// UpdateAccount implements apiv1.AccountServiceServer.
func (s *accountService) UpdateAccount(ctx context.Context, req *apiv1.UpdateAccountRequest) (*apiv1.UpdateAccountResponse, error) {
	n, err := parseName(req.GetAccount().GetName())
	if err != nil {
		return nil, err
	}
	if n.account == "" {
		return nil, errs.New(errs.Invalid, "INVALID_NAME", "account.name names no account").WithField("account.name")
	}
	resp, t, err := s.updateAccount(ctx, n, req)
	if err == nil && req.GetValidateOnly() {
		resp.Impact, err = s.impact(ctx, t)
	}
	return resp, err
}

// updateAccount changes one account, and says of a dry run whom that would touch.
func (s *accountService) updateAccount(ctx context.Context, n name, req *apiv1.UpdateAccountRequest) (*apiv1.UpdateAccountResponse, touched, error) {
	var t touched
	resp, err := write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.UpdateAccountResponse, error) {
		out, err := s.tenancy.UpdateAccount(ctx, tx, "UpdateAccount", n.account, req.GetAccount().GetEtag(), func(f *tenancy.AccountFields) error {
			return applyMask(f, req.GetAccount(), req.GetUpdateMask().GetPaths())
		})
		if err != nil {
			return nil, err
		}
		resp := &apiv1.UpdateAccountResponse{Account: accountProto(n.organization, out.Account)}
		if out.Operation != nil {
			resp.Operation = operationProto(n.organization, *out.Operation)
		}
		if req.GetValidateOnly() {
			t, err = touchesConnections(ctx, tx, out.Account)
		}
		return resp, err
	})
	return resp, t, err
}

// applyMask puts the fields that a mask names into f. "*" names them all.
func applyMask(f *tenancy.AccountFields, in *apiv1.Account, paths []string) error {
	limits := limitsFrom(in.GetLimits())
	for _, path := range paths {
		switch path {
		case "*":
			*f = tenancy.AccountFields{
				DisplayName: in.GetDisplayName(), Limits: limits, DeleteProtection: in.GetDeleteProtection(),
				CredentialTTL: seconds(in.GetDefaultCredentialTtlSeconds()), AuthCallout: calloutFrom(in.GetAuthCallout()),
			}
		case "display_name":
			f.DisplayName = in.GetDisplayName()
		case "default_credential_ttl_seconds":
			f.CredentialTTL = seconds(in.GetDefaultCredentialTtlSeconds())
		case "delete_protection":
			f.DeleteProtection = in.GetDeleteProtection()
		case "auth_callout":
			f.AuthCallout = calloutFrom(in.GetAuthCallout())
		case "limits":
			f.Limits = limits
		default:
			if err := applyLimit(&f.Limits, limits, path); err != nil {
				return err
			}
		}
	}
	return nil
}

func applyLimit(to *accounts.Limits, from accounts.Limits, path string) error {
	switch path {
	case "limits.connections":
		to.Connections = from.Connections
	case "limits.subscriptions":
		to.Subscriptions = from.Subscriptions
	case "limits.payload_bytes":
		to.PayloadBytes = from.PayloadBytes
	case "limits.leaf_nodes":
		to.LeafNodes = from.LeafNodes
	case "limits.data_bytes":
		to.DataBytes = from.DataBytes
	default:
		if applyQuota(to, from, path) {
			return nil
		}
		return errs.New(errs.Invalid, "INVALID_MASK", "%q is not a writable field of an account", path).WithField("update_mask").
			WithNext("writable are display_name, limits, limits.<limit>, default_credential_ttl_seconds, auth_callout and delete_protection")
	}
	return nil
}

// SuspendAccount implements apiv1.AccountServiceServer.
func (s *accountService) SuspendAccount(ctx context.Context, req *apiv1.SuspendAccountRequest) (*apiv1.SuspendAccountResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.SuspendAccountResponse, error) {
		out, err := s.tenancy.SetSuspended(ctx, tx, "SuspendAccount", n.account, req.GetEtag(), true)
		if err != nil {
			return nil, err
		}
		return &apiv1.SuspendAccountResponse{
			Account: accountProto(n.organization, out.Account), Operation: operationProto(n.organization, *out.Operation),
		}, nil
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		return s.touchesAccountAndImporters(ctx, tx.View, n.account)
	})
}

// ResumeAccount implements apiv1.AccountServiceServer.
func (s *accountService) ResumeAccount(ctx context.Context, req *apiv1.ResumeAccountRequest) (*apiv1.ResumeAccountResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.ResumeAccountResponse, error) {
		out, err := s.tenancy.SetSuspended(ctx, tx, "ResumeAccount", n.account, req.GetEtag(), false)
		if err != nil {
			return nil, err
		}
		return &apiv1.ResumeAccountResponse{
			Account: accountProto(n.organization, out.Account), Operation: operationProto(n.organization, *out.Operation),
		}, nil
	})
}

// DeleteAccount implements apiv1.AccountServiceServer.
func (s *accountService) DeleteAccount(ctx context.Context, req *apiv1.DeleteAccountRequest) (*apiv1.DeleteAccountResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	retention := tenancy.RetentionDefault
	if req.RetentionSeconds != nil {
		retention = seconds(req.GetRetentionSeconds())
	}
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.DeleteAccountResponse, error) {
		out, err := s.tenancy.DeleteAccount(ctx, tx, "DeleteAccount", n.account, req.GetEtag(), retention)
		if err != nil {
			return nil, err
		}
		return &apiv1.DeleteAccountResponse{
			Account: accountProto(n.organization, out.Account), Operation: operationProto(n.organization, *out.Operation),
		}, nil
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		return s.touchesAccountAndImporters(ctx, tx.View, n.account)
	})
}

// UndeleteAccount implements apiv1.AccountServiceServer.
func (s *accountService) UndeleteAccount(ctx context.Context, req *apiv1.UndeleteAccountRequest) (*apiv1.UndeleteAccountResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.UndeleteAccountResponse, error) {
		out, err := s.tenancy.UndeleteAccount(ctx, tx, "UndeleteAccount", n.account, req.GetEtag())
		if err != nil {
			return nil, err
		}
		return &apiv1.UndeleteAccountResponse{
			Account: accountProto(n.organization, out.Account), Operation: operationProto(n.organization, *out.Operation),
		}, nil
	})
}

// PurgeAccount implements apiv1.AccountServiceServer.
func (s *accountService) PurgeAccount(ctx context.Context, req *apiv1.PurgeAccountRequest) (*apiv1.PurgeAccountResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	etag := req.GetEtag()
	if !req.GetValidateOnly() {
		c, err := changeOf(ctx, req, n.organization)
		if err != nil {
			return nil, err
		}
		if err := s.mayChange(ctx, n.organization); err != nil {
			return nil, err
		}
		// A refusal here comes again below, where it is told from a replay.
		if staged, _ := s.tenancy.ReleaseAccount(ctx, s.store, c, n.account, etag); staged {
			etag = "" // it was compared by the first stage
		}
	}
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.PurgeAccountResponse, error) {
		op, err := s.tenancy.PurgeAccount(ctx, tx, "PurgeAccount", n.account, etag)
		return &apiv1.PurgeAccountResponse{Operation: operationProto(n.organization, op)}, err
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		return s.touchesAccountAndImporters(ctx, tx.View, n.account)
	})
}
