package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// BatchCreateUsers implements apiv1.UserServiceServer.
func (s *users) BatchCreateUsers(ctx context.Context, req *apiv1.BatchCreateUsersRequest) (*apiv1.BatchCreateUsersResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, u := range req.GetUsers() {
		if seen[u.GetUserId()] {
			return nil, errs.New(errs.Invalid, "INVALID_FIELD", "users: the id %q is there twice", u.GetUserId()).WithField("users")
		}
		seen[u.GetUserId()] = true
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.BatchCreateUsersResponse, error) {
		resp := &apiv1.BatchCreateUsersResponse{}
		var names []string
		for _, in := range req.GetUsers() {
			u, err := s.tenancy.CreateUser(ctx, tx, n.account, in.GetUserId(), userFieldsFrom(in.GetUser()))
			if err != nil {
				return nil, err
			}
			resp.Users = append(resp.Users, userProto(n.organization, u))
			names = append(names, tenancy.UserName(n.organization, n.account, u.ID))
		}
		tx.Touches(names...)
		return resp, tx.Fits()
	})
}

// BatchGetUsers implements apiv1.UserServiceServer.
func (s *users) BatchGetUsers(ctx context.Context, req *apiv1.BatchGetUsersRequest) (*apiv1.BatchGetUsersResponse, error) {
	v, parent, err := s.view(ctx, req.GetParent())
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(req.GetNames()))
	for i, text := range req.GetNames() {
		n, err := parseName(text)
		if err != nil {
			return nil, err
		}
		if n.organization != parent.organization || n.account != parent.account {
			return nil, errs.New(errs.Invalid, "INVALID_NAME", "%q is not a user of %s", text, req.GetParent()).WithField("names")
		}
		ids[i] = n.user
	}
	list, missing, err := v.UsersNamed(ctx, parent.account, ids)
	if err != nil {
		return nil, err
	}
	if missing != "" {
		return nil, notFound(tenancy.UserName(parent.organization, parent.account, missing))
	}
	resp := &apiv1.BatchGetUsersResponse{}
	for _, u := range list {
		resp.Users = append(resp.Users, userProto(parent.organization, u))
	}
	return resp, nil
}
