package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type roles struct {
	apiv1.UnimplementedRoleServiceServer
	*Server
}

func roleProto(organization, account string, r store.Role) *apiv1.Role {
	out := &apiv1.Role{
		Name: tenancy.RoleName(organization, account, r.Name), DisplayName: r.DisplayName, MaxCredentialTtlSeconds: r.MaxTTLSeconds,
		CreateTime: timestamp(r.CreateTime), UpdateTime: timestamp(r.UpdateTime), Etag: tenancy.Etag(r.Revision),
		Limits: userLimitsProto(r.Limits),
	}
	if !r.Permissions.Empty() {
		out.Permissions = permissionsProto(r.Permissions)
	}
	states := map[store.KeyState]apiv1.SigningKey_State{
		store.KeyStaged: apiv1.SigningKey_STATE_STAGED, store.KeyActive: apiv1.SigningKey_STATE_ACTIVE,
		store.KeyVerifyOnly: apiv1.SigningKey_STATE_VERIFY_ONLY, store.KeyRetired: apiv1.SigningKey_STATE_RETIRED,
	}
	for _, k := range r.Keys {
		out.Keys = append(out.Keys, &apiv1.SigningKey{
			PublicKey: k.PublicKey, State: states[k.State], CreateTime: timestamp(k.CreateTime),
			PromoteTime: timestamp(k.PromoteTime), RetireTime: timestamp(k.RetireTime),
		})
	}
	return out
}

func roleFieldsFrom(in *apiv1.Role) tenancy.RoleFields {
	f := tenancy.RoleFields{DisplayName: in.GetDisplayName(), MaxTTL: seconds(in.GetMaxCredentialTtlSeconds()), Limits: limitsFrom(in.GetLimits())}
	if p := permissionsFrom(in.GetPermissions()); p != nil {
		f.Permissions = *p
	}
	return f
}

func (n name) roleChange(out tenancy.RoleChange) (*apiv1.Role, *apiv1.Operation) {
	role := roleProto(n.organization, n.account, out.Role)
	if out.Operation == nil {
		return role, nil
	}
	return role, operationProto(n.organization, *out.Operation)
}

// dependentsShown bounds what a change lists; the count tells of all.
const dependentsShown = 100

func (n name) firstDependents(list []store.Credential) []*apiv1.KeyDependent {
	return n.dependents(list[:min(len(list), dependentsShown)])
}

func (n name) dependents(list []store.Credential) []*apiv1.KeyDependent {
	var out []*apiv1.KeyDependent
	for _, c := range list {
		out = append(out, &apiv1.KeyDependent{
			Credential: tenancy.CredentialName(n.organization, c), IssuerKey: c.IssuerKey, ExpireTime: timestamp(c.ExpireTime),
		})
	}
	return out
}

// CreateRole implements apiv1.RoleServiceServer.
func (s *roles) CreateRole(ctx context.Context, req *apiv1.CreateRoleRequest) (*apiv1.CreateRoleResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.CreateRoleResponse, error) {
		out, err := s.tenancy.CreateRole(ctx, tx, "CreateRole", n.account, req.GetRoleId(), roleFieldsFrom(req.GetRole()))
		role, op := n.roleChange(out)
		return &apiv1.CreateRoleResponse{Role: role, Operation: op}, err
	})
}

// GetRole implements apiv1.RoleServiceServer.
func (s *roles) GetRole(ctx context.Context, req *apiv1.GetRoleRequest) (*apiv1.GetRoleResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	r, err := v.Role(ctx, n.account, n.role)
	if err != nil {
		return nil, err
	}
	return &apiv1.GetRoleResponse{Role: roleProto(n.organization, n.account, r)}, nil
}

// ListRoles implements apiv1.RoleServiceServer.
func (s *roles) ListRoles(ctx context.Context, req *apiv1.ListRolesRequest) (*apiv1.ListRolesResponse, error) {
	page, v, n, err := s.parent(ctx, req)
	if err != nil {
		return nil, err
	}
	if _, err := v.Account(ctx, n.account); err != nil {
		return nil, err
	}
	list, next, err := v.RolePage(ctx, n.account, page)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListRolesResponse{NextPageToken: store.Token(next)}
	for _, r := range list {
		resp.Roles = append(resp.Roles, roleProto(n.organization, n.account, r))
	}
	return resp, nil
}

// UpdateRole implements apiv1.RoleServiceServer.
func (s *roles) UpdateRole(ctx context.Context, req *apiv1.UpdateRoleRequest) (*apiv1.UpdateRoleResponse, error) {
	n, err := parseName(req.GetRole().GetName())
	if err != nil {
		return nil, err
	}
	if n.role == "" {
		return nil, errs.New(errs.Invalid, "INVALID_NAME", "role.name names no role").WithField("role.name")
	}
	in := roleFieldsFrom(req.GetRole())
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.UpdateRoleResponse, error) {
		out, err := s.tenancy.UpdateRole(ctx, tx, "UpdateRole", n.account, n.role, req.GetRole().GetEtag(), func(f *tenancy.RoleFields) error {
			for _, path := range req.GetUpdateMask().GetPaths() {
				switch path {
				case "*":
					*f = in
				case "display_name":
					f.DisplayName = in.DisplayName
				case "permissions":
					f.Permissions = in.Permissions
				case "max_credential_ttl_seconds":
					f.MaxTTL = in.MaxTTL
				case "limits":
					f.Limits = in.Limits
				default:
					if !applyUserLimit(&f.Limits, in.Limits, path) {
						return errs.New(errs.Invalid, "INVALID_MASK", "%q is not a writable field of a role", path).
							WithField("update_mask").WithNext("writable are display_name, permissions, max_credential_ttl_seconds and limits")
					}
				}
			}
			return nil
		})
		role, op := n.roleChange(out)
		return &apiv1.UpdateRoleResponse{Role: role, Operation: op}, err
	})
}

// DeleteRole implements apiv1.RoleServiceServer.
func (s *roles) DeleteRole(ctx context.Context, req *apiv1.DeleteRoleRequest) (*apiv1.DeleteRoleResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.DeleteRoleResponse, error) {
		op, err := s.tenancy.DeleteRole(ctx, tx, "DeleteRole", n.account, n.role, req.GetEtag())
		return &apiv1.DeleteRoleResponse{Operation: operationProto(n.organization, op)}, err
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		r, err := tx.Role(ctx, n.account, n.role)
		if err != nil {
			return touched{}, err
		}
		return s.touchesKeys(ctx, tx.View, n.account, tenancy.LiveKeys(r))
	})
}
