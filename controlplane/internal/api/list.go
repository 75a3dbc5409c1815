package api

import (
	"context"

	"github.com/coveymq/covey/controlplane/internal/store"
)

// childRequest asks for a page of what is below a parent.
type childRequest interface {
	GetParent() string
	GetPageSize() int32
	GetPageToken() string
}

// listInOrganization answers a list of what an organization has: a page of it, and
// the token of the next one.
func listInOrganization[R, P any](ctx context.Context, s *Server, req childRequest,
	read func(*store.View, context.Context, store.Page) ([]R, string, error), show func(organization string, r R) P,
) ([]P, string, error) {
	page, v, n, err := s.parent(ctx, req)
	if err != nil {
		return nil, "", err
	}
	if _, err := v.Org(ctx); err != nil {
		return nil, "", err
	}
	list, next, err := read(v, ctx, page)
	return shown(n, list, show), store.Token(next), err
}

// listInAccount answers a list of what an account has, likewise.
func listInAccount[R, P any](ctx context.Context, s *Server, req childRequest,
	read func(*store.View, context.Context, string, store.Page) ([]R, string, error), show func(organization string, r R) P,
) ([]P, string, error) {
	page, v, n, err := s.parent(ctx, req)
	if err != nil {
		return nil, "", err
	}
	if _, err := v.Account(ctx, n.account); err != nil {
		return nil, "", err
	}
	list, next, err := read(v, ctx, n.account, page)
	return shown(n, list, show), store.Token(next), err
}

// parent reads what a list is asked for.
func (s *Server) parent(ctx context.Context, req childRequest) (store.Page, *store.View, name, error) {
	page, err := store.ParsePage(req.GetPageSize(), req.GetPageToken())
	if err != nil {
		return store.Page{}, nil, name{}, err
	}
	v, n, err := s.view(ctx, req.GetParent())
	return page, v, n, err
}

func shown[R, P any](n name, list []R, show func(organization string, r R) P) []P {
	all := make([]P, len(list))
	for i, r := range list {
		all[i] = show(n.organization, r)
	}
	return all
}
