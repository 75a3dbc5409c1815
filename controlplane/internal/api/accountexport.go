package api

import (
	"context"
	"maps"
	"slices"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const exportedUsers = 100 // of one page, when the caller says nothing

// ExportAccount implements apiv1.AccountServiceServer. It changes nothing but
// the audit log.
func (s *accountService) ExportAccount(ctx context.Context, req *apiv1.ExportAccountRequest) (*apiv1.ExportAccountResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	size := req.GetPageSize()
	if size == 0 {
		size = exportedUsers
	}
	page, err := store.ParsePage(size, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.ExportAccountResponse, error) {
		out, err := s.tenancy.HandBack(ctx, tx, n.account, page)
		if err != nil {
			return nil, err
		}
		resp := &apiv1.ExportAccountResponse{NextPageToken: store.Token(out.Next)}
		if resp.ClaimsJwt, _, err = s.store.Claims(ctx, out.PublicKey); err != nil {
			return nil, err
		}
		if !req.GetValidateOnly() {
			fillExport(resp, out)
		}
		return resp, nil
	})
}

func fillExport(resp *apiv1.ExportAccountResponse, out tenancy.HandedBack) {
	for _, public := range slices.Sorted(maps.Keys(out.Seeds)) {
		resp.Keys = append(resp.Keys, &apiv1.ExportedKey{PublicKey: public, Seed: string(out.Seeds[public].Reveal())})
	}
	for _, u := range out.Users {
		resp.Users = append(resp.Users, &apiv1.ExportedUser{UserId: u.ID, Jwt: u.JWT})
	}
}
