package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type serviceAccounts struct {
	apiv1.UnimplementedServiceAccountServiceServer
	*Server
}

// callerOf is who calls, as the rules of service accounts ask.
func callerOf(ctx context.Context) tenancy.Caller {
	p := callOf(ctx).principal
	return tenancy.Caller{Key: p.KeyID, Holder: p.Holder(), Owner: authz.IsOwner(p)}
}

func serviceAccountProto(organization string, a store.ServiceAccount) *apiv1.ServiceAccount {
	out := &apiv1.ServiceAccount{
		Name: tenancy.ServiceAccountName(organization, a.ID), Uid: a.UID, DisplayName: a.DisplayName, Disabled: a.Disabled,
		CreateTime: timestamp(a.CreateTime), UpdateTime: timestamp(a.UpdateTime), Etag: tenancy.Etag(a.Revision),
	}
	out.RoleBindings = bindingsProto(organization, a.Bindings)
	return out
}

func bindingsProto(organization string, bindings []store.RoleBinding) []*apiv1.RoleBinding {
	var out []*apiv1.RoleBinding
	for _, b := range bindings {
		binding := &apiv1.RoleBinding{Role: b.Role}
		if b.Account != "" {
			binding.Account = tenancy.AccountName(organization, b.Account)
		}
		out = append(out, binding)
	}
	return out
}

// bindingsFrom reads role bindings. Accounts of other organizations read like
// accounts that are not there.
func bindingsFrom(organization, field string, in []*apiv1.RoleBinding) ([]store.RoleBinding, error) {
	var out []store.RoleBinding
	for _, b := range in {
		binding := store.RoleBinding{Role: b.GetRole()}
		if b.GetAccount() != "" {
			about := aboutOf(b.GetAccount())
			if about.Organization != organization {
				return nil, errs.New(errs.Precondition, "ACCOUNT_NOT_FOUND", "there is no account %q", b.GetAccount()).
					WithField(field)
			}
			binding.Account = about.Account
		}
		out = append(out, binding)
	}
	return out, nil
}

// CreateServiceAccount implements apiv1.ServiceAccountServiceServer.
func (s *serviceAccounts) CreateServiceAccount(ctx context.Context, req *apiv1.CreateServiceAccountRequest) (*apiv1.CreateServiceAccountResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	bindings, err := bindingsFrom(n.organization, "service_account.role_bindings", req.GetServiceAccount().GetRoleBindings())
	if err != nil {
		return nil, err
	}
	fields := tenancy.ServiceAccountFields{
		DisplayName: req.GetServiceAccount().GetDisplayName(), Bindings: bindings, Disabled: req.GetServiceAccount().GetDisabled(),
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.CreateServiceAccountResponse, error) {
		a, err := s.tenancy.CreateServiceAccount(ctx, tx, callerOf(ctx), req.GetServiceAccountId(), fields)
		if err != nil {
			return nil, err
		}
		return &apiv1.CreateServiceAccountResponse{ServiceAccount: serviceAccountProto(n.organization, a)}, nil
	})
}

// GetServiceAccount implements apiv1.ServiceAccountServiceServer.
func (s *serviceAccounts) GetServiceAccount(ctx context.Context, req *apiv1.GetServiceAccountRequest) (*apiv1.GetServiceAccountResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	a, err := v.ServiceAccount(ctx, n.serviceAccount)
	if err != nil {
		return nil, err
	}
	return &apiv1.GetServiceAccountResponse{ServiceAccount: serviceAccountProto(n.organization, a)}, nil
}

// ListServiceAccounts implements apiv1.ServiceAccountServiceServer.
func (s *serviceAccounts) ListServiceAccounts(ctx context.Context, req *apiv1.ListServiceAccountsRequest) (*apiv1.ListServiceAccountsResponse, error) {
	list, next, err := listInOrganization(ctx, s.Server, req, (*store.View).ServiceAccounts, serviceAccountProto)
	return &apiv1.ListServiceAccountsResponse{ServiceAccounts: list, NextPageToken: next}, err
}

// UpdateServiceAccount implements apiv1.ServiceAccountServiceServer.
func (s *serviceAccounts) UpdateServiceAccount(ctx context.Context, req *apiv1.UpdateServiceAccountRequest) (*apiv1.UpdateServiceAccountResponse, error) {
	in := req.GetServiceAccount()
	n, err := parseName(in.GetName())
	if err != nil {
		return nil, err
	}
	if n.serviceAccount == "" || n.apiKey != "" {
		return nil, errs.New(errs.Invalid, "INVALID_NAME", "service_account.name names no service account").WithField("service_account.name")
	}
	bindings, err := bindingsFrom(n.organization, "service_account.role_bindings", in.GetRoleBindings())
	if err != nil {
		return nil, err
	}
	disabled := false
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.UpdateServiceAccountResponse, error) {
		a, err := s.tenancy.UpdateServiceAccount(ctx, tx, callerOf(ctx), n.serviceAccount, in.GetEtag(), func(f *tenancy.ServiceAccountFields) error {
			for _, path := range req.GetUpdateMask().GetPaths() {
				switch path {
				case "*":
					*f = tenancy.ServiceAccountFields{DisplayName: in.GetDisplayName(), Bindings: bindings, Disabled: in.GetDisabled()}
				case "display_name":
					f.DisplayName = in.GetDisplayName()
				case "role_bindings":
					f.Bindings = bindings
				case "disabled":
					f.Disabled = in.GetDisabled()
				default:
					return errs.New(errs.Invalid, "INVALID_MASK", "%q is not a writable field of a service account", path).
						WithField("update_mask").WithNext("writable are display_name, role_bindings and disabled")
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		disabled = a.Disabled
		return &apiv1.UpdateServiceAccountResponse{ServiceAccount: serviceAccountProto(n.organization, a)}, nil
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		if !disabled {
			return touched{}, nil
		}
		return touchesHolder(ctx, tx.View, n.holder(), tx.Now)
	})
}

// DeleteServiceAccount implements apiv1.ServiceAccountServiceServer.
func (s *serviceAccounts) DeleteServiceAccount(ctx context.Context, req *apiv1.DeleteServiceAccountRequest) (*apiv1.DeleteServiceAccountResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.DeleteServiceAccountResponse, error) {
		err := s.tenancy.DeleteServiceAccount(ctx, tx, callerOf(ctx), n.serviceAccount, req.GetEtag())
		return &apiv1.DeleteServiceAccountResponse{}, err
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		return touchesHolder(ctx, tx.View, n.holder(), tx.Now)
	})
}
