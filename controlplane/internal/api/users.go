package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type users struct {
	apiv1.UnimplementedUserServiceServer
	*Server
}

func userFieldsFrom(u *apiv1.User) tenancy.UserFields {
	return tenancy.UserFields{
		DisplayName: u.GetDisplayName(), Role: u.GetRole(), Permissions: permissionsFrom(u.GetPermissions()), Limits: limitsFrom(u.GetLimits()),
	}
}

// CreateUser implements apiv1.UserServiceServer.
func (s *users) CreateUser(ctx context.Context, req *apiv1.CreateUserRequest) (*apiv1.CreateUserResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	fields := userFieldsFrom(req.GetUser())
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.CreateUserResponse, error) {
		u, err := s.tenancy.CreateUser(ctx, tx, n.account, req.GetUserId(), fields)
		if err != nil {
			return nil, err
		}
		return &apiv1.CreateUserResponse{User: userProto(n.organization, u)}, nil
	})
}

// GetUser implements apiv1.UserServiceServer.
func (s *users) GetUser(ctx context.Context, req *apiv1.GetUserRequest) (*apiv1.GetUserResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	u, err := v.User(ctx, n.account, n.user)
	if err != nil {
		return nil, err
	}
	return &apiv1.GetUserResponse{User: userProto(n.organization, u)}, nil
}

// ListUsers implements apiv1.UserServiceServer.
func (s *users) ListUsers(ctx context.Context, req *apiv1.ListUsersRequest) (*apiv1.ListUsersResponse, error) {
	list, next, err := listInAccount(ctx, s.Server, req, (*store.View).Users, userProto)
	return &apiv1.ListUsersResponse{Users: list, NextPageToken: next}, err
}

// UpdateUser implements apiv1.UserServiceServer.
func (s *users) UpdateUser(ctx context.Context, req *apiv1.UpdateUserRequest) (*apiv1.UpdateUserResponse, error) {
	in := req.GetUser()
	n, err := parseName(in.GetName())
	if err != nil {
		return nil, err
	}
	if n.user == "" || n.credential != "" {
		return nil, errs.New(errs.Invalid, "INVALID_NAME", "user.name names no user").WithField("user.name")
	}
	revoked := false
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.UpdateUserResponse, error) {
		out, err := s.tenancy.UpdateUser(ctx, tx, "UpdateUser", n.account, n.user, in.GetEtag(), req.GetKeepCredentials(), func(f *tenancy.UserFields) error {
			return applyUserMask(f, in, req.GetUpdateMask().GetPaths())
		})
		if err != nil {
			return nil, err
		}
		revoked = out.Revoked > 0
		resp := &apiv1.UpdateUserResponse{User: userProto(n.organization, out.User), RevokedCredentials: int32(out.Revoked)} //nolint:gosec // bounded by the records kept
		if out.Operation != nil {
			resp.Operation = operationProto(n.organization, *out.Operation)
		}
		return resp, nil
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		if !revoked {
			return touched{}, nil
		}
		return s.touchesUser(ctx, tx.View, n.account, n.user)
	})
}

// applyUserMask puts the fields that a mask names into f. A role and
// permissions take each other's place, unless the mask names both.
func applyUserMask(f *tenancy.UserFields, in *apiv1.User, paths []string) error {
	from := userFieldsFrom(in)
	named := map[string]bool{}
	for _, path := range paths {
		named[path] = true
		switch path {
		case "*":
			*f = from
		case "display_name":
			f.DisplayName = from.DisplayName
		case "role":
			f.Role = from.Role
		case "permissions":
			f.Permissions = from.Permissions
		case "limits":
			f.Limits = from.Limits
		default:
			if !applyUserLimit(&f.Limits, from.Limits, path) {
				return errs.New(errs.Invalid, "INVALID_MASK", "%q is not a writable field of a user", path).
					WithField("update_mask").WithNext("writable are display_name, role, permissions and limits")
			}
		}
	}
	switch {
	case named["role"] && !named["permissions"] && f.Role != "":
		f.Permissions = nil
	case named["permissions"] && !named["role"] && f.Permissions != nil:
		f.Role = ""
	}
	return nil
}

// SuspendUser implements apiv1.UserServiceServer.
func (s *users) SuspendUser(ctx context.Context, req *apiv1.SuspendUserRequest) (*apiv1.SuspendUserResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.SuspendUserResponse, error) {
		out, err := s.tenancy.SetUserSuspended(ctx, tx, "SuspendUser", n.account, n.user, req.GetEtag(), true)
		if err != nil {
			return nil, err
		}
		return &apiv1.SuspendUserResponse{User: userProto(n.organization, out.User), Operation: operationProto(n.organization, *out.Operation)}, nil
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		return s.touchesUser(ctx, tx.View, n.account, n.user)
	})
}

// ResumeUser implements apiv1.UserServiceServer.
func (s *users) ResumeUser(ctx context.Context, req *apiv1.ResumeUserRequest) (*apiv1.ResumeUserResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.ResumeUserResponse, error) {
		out, err := s.tenancy.SetUserSuspended(ctx, tx, "ResumeUser", n.account, n.user, req.GetEtag(), false)
		if err != nil {
			return nil, err
		}
		return &apiv1.ResumeUserResponse{User: userProto(n.organization, out.User), Operation: operationProto(n.organization, *out.Operation)}, nil
	})
}

// DeleteUser implements apiv1.UserServiceServer.
func (s *users) DeleteUser(ctx context.Context, req *apiv1.DeleteUserRequest) (*apiv1.DeleteUserResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.DeleteUserResponse, error) {
		op, err := s.tenancy.DeleteUser(ctx, tx, "DeleteUser", n.account, n.user, req.GetEtag())
		if err != nil {
			return nil, err
		}
		resp := &apiv1.DeleteUserResponse{}
		if op != nil {
			resp.Operation = operationProto(n.organization, *op)
		}
		return resp, nil
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		return s.touchesUser(ctx, tx.View, n.account, n.user)
	})
}
