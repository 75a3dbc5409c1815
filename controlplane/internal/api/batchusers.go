package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// partOf refuses a part of a batch that is not of the batch's account, or that says
// itself what the batch says for all: whoever may act on the parent may not act
// elsewhere.
func partOf(parent, child string, part writeRequest) (name, error) {
	of, err := parseName(parent)
	if err != nil {
		return name{}, err
	}
	n, err := parseName(child)
	if err != nil {
		return name{}, err
	}
	switch {
	case n.organization != of.organization || n.account != of.account || n.user == "":
		return name{}, errs.New(errs.Invalid, "INVALID_NAME", "%q is not of %s", child, parent).WithField("requests").
			WithNext("a batch is about one account: make one for each")
	case part.GetRequestId() != "" || part.GetValidateOnly():
		return name{}, errs.New(errs.Invalid, "INVALID_FIELD", "requests: request_id and validate_only are the batch's").
			WithField("requests").WithNext("set them beside requests, not in them")
	}
	return n, nil
}

// BatchUpdateUsers implements apiv1.UserServiceServer.
func (s *users) BatchUpdateUsers(ctx context.Context, req *apiv1.BatchUpdateUsersRequest) (*apiv1.BatchUpdateUsersResponse, error) {
	parent, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	in, targets := make([]tenancy.UserToChange, len(req.GetRequests())), make([]string, len(req.GetRequests()))
	for i, r := range req.GetRequests() {
		n, err := partOf(req.GetParent(), r.GetUser().GetName(), r)
		if err != nil {
			return nil, err
		}
		if n.credential != "" {
			return nil, errs.New(errs.Invalid, "INVALID_NAME", "%q names no user", r.GetUser().GetName()).WithField("requests")
		}
		in[i] = tenancy.UserToChange{
			ID: n.user, Etag: r.GetUser().GetEtag(), Keep: r.GetKeepCredentials(),
			Change: func(f *tenancy.UserFields) error { return applyUserMask(f, r.GetUser(), r.GetUpdateMask().GetPaths()) },
		}
		targets[i] = r.GetUser().GetName()
	}
	var changed []store.User
	return preview(ctx, s.Server, req, parent.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.BatchUpdateUsersResponse, error) {
		out, err := s.tenancy.UpdateUsers(ctx, tx, "BatchUpdateUsers", parent.account, in)
		if err != nil {
			return nil, err
		}
		resp := &apiv1.BatchUpdateUsersResponse{RevokedCredentials: int32(out.Revoked)} //nolint:gosec // bounded by the records kept
		for _, u := range out.Users {
			resp.Users = append(resp.Users, userProto(parent.organization, u))
		}
		if out.Operation != nil {
			resp.Operation = operationProto(parent.organization, *out.Operation)
		}
		changed = out.Users
		tx.Touches(targets...)
		return resp, tx.Fits()
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		others := map[string]bool{} // whose credentials go
		for i, u := range changed {
			before, err := tx.User(ctx, parent.account, u.ID)
			if err != nil {
				return touched{}, err
			}
			others[u.ID] = !in[i].Keep && !tenancy.SameRights(before, u)
		}
		return s.touchesCredentials(ctx, tx.View, parent.account, "", func(c store.Credential) bool { return others[c.User] })
	})
}
