package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type members struct {
	apiv1.UnimplementedMemberServiceServer
	*Server
}

func memberProto(organization string, m store.Member) *apiv1.Member {
	return &apiv1.Member{
		Name: tenancy.MemberName(organization, m.ID), Uid: m.UID, DisplayName: m.DisplayName, Email: m.Email,
		RoleBindings: bindingsProto(organization, m.Bindings), CreateTime: timestamp(m.CreateTime), UpdateTime: timestamp(m.UpdateTime),
		Etag: tenancy.Etag(m.Revision),
	}
}

// GetMember implements apiv1.MemberServiceServer.
func (s *members) GetMember(ctx context.Context, req *apiv1.GetMemberRequest) (*apiv1.GetMemberResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	m, err := v.Member(ctx, n.member)
	if err != nil {
		return nil, err
	}
	return &apiv1.GetMemberResponse{Member: memberProto(n.organization, m)}, nil
}

// ListMembers implements apiv1.MemberServiceServer.
func (s *members) ListMembers(ctx context.Context, req *apiv1.ListMembersRequest) (*apiv1.ListMembersResponse, error) {
	list, next, err := listInOrganization(ctx, s.Server, req, (*store.View).Members, memberProto)
	return &apiv1.ListMembersResponse{Members: list, NextPageToken: next}, err
}

// UpdateMember implements apiv1.MemberServiceServer.
func (s *members) UpdateMember(ctx context.Context, req *apiv1.UpdateMemberRequest) (*apiv1.UpdateMemberResponse, error) {
	in := req.GetMember()
	n, err := parseName(in.GetName())
	if err != nil {
		return nil, err
	}
	if n.member == "" || n.apiKey != "" {
		return nil, errs.New(errs.Invalid, "INVALID_NAME", "member.name names no member").WithField("member.name")
	}
	bindings, err := bindingsFrom(n.organization, "member.role_bindings", in.GetRoleBindings())
	if err != nil {
		return nil, err
	}
	change := func(f *tenancy.MemberFields) error {
		for _, path := range req.GetUpdateMask().GetPaths() {
			switch path {
			case "*":
				*f = tenancy.MemberFields{DisplayName: in.GetDisplayName(), Bindings: bindings}
			case "display_name":
				f.DisplayName = in.GetDisplayName()
			case "role_bindings":
				f.Bindings = bindings
			default:
				return errs.New(errs.Invalid, "INVALID_MASK", "%q is not a writable field of a member", path).
					WithField("update_mask").WithNext("writable are display_name and role_bindings")
			}
		}
		return nil
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.UpdateMemberResponse, error) {
		m, err := s.tenancy.UpdateMember(ctx, tx, callerOf(ctx), n.member, in.GetEtag(), change)
		if err != nil {
			return nil, err
		}
		return &apiv1.UpdateMemberResponse{Member: memberProto(n.organization, m)}, nil
	})
}

// DeleteMember implements apiv1.MemberServiceServer.
func (s *members) DeleteMember(ctx context.Context, req *apiv1.DeleteMemberRequest) (*apiv1.DeleteMemberResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.DeleteMemberResponse, error) {
		err := s.tenancy.DeleteMember(ctx, tx, callerOf(ctx), n.member, req.GetEtag())
		return &apiv1.DeleteMemberResponse{}, err
	}, func(ctx context.Context, tx *store.Tx) (touched, error) {
		return touchesHolder(ctx, tx.View, n.holder(), tx.Now)
	})
}
