package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type users struct {
	apiv1.UnimplementedUserServiceServer
	*Server
}

// CreateUser implements apiv1.UserServiceServer.
func (s *users) CreateUser(ctx context.Context, req *apiv1.CreateUserRequest) (*apiv1.CreateUserResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	fields := tenancy.UserFields{
		DisplayName: req.GetUser().GetDisplayName(), Role: req.GetUser().GetRole(), Permissions: permissionsFrom(req.GetUser().GetPermissions()),
	}
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
	page, err := store.ParsePage(req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	v, n, err := s.view(ctx, req.GetParent())
	if err != nil {
		return nil, err
	}
	if _, err := v.Account(ctx, n.account); err != nil {
		return nil, err
	}
	list, next, err := v.Users(ctx, n.account, page)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListUsersResponse{NextPageToken: store.Token(next)}
	for _, u := range list {
		resp.Users = append(resp.Users, userProto(n.organization, u))
	}
	return resp, nil
}

// DeleteUser implements apiv1.UserServiceServer.
func (s *users) DeleteUser(ctx context.Context, req *apiv1.DeleteUserRequest) (*apiv1.DeleteUserResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.DeleteUserResponse, error) {
		op, err := s.tenancy.DeleteUser(ctx, tx, "DeleteUser", n.account, n.user, req.GetEtag())
		if err != nil {
			return nil, err
		}
		resp := &apiv1.DeleteUserResponse{}
		if op != nil {
			resp.Operation = operationProto(n.organization, *op)
		}
		return resp, nil
	})
}
