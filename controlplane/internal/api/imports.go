package api

import (
	"context"
	"time"

	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type imports struct {
	apiv1.UnimplementedImportServiceServer
	*Server
}

// reachable names those imports that the caller may know of.
func (s *Server) reachable(ctx context.Context, organization string, refs []store.ImportRef) []string {
	var names []string
	for _, r := range refs {
		if authz.Reaches(callOf(ctx).principal, r.Account) {
			names = append(names, tenancy.ImportName(organization, r.Account, r.Import))
		}
	}
	return names
}

func importProto(organization string, i store.Import, state tenancy.ImportState) *apiv1.Import {
	out := &apiv1.Import{
		Name: tenancy.ImportName(organization, i.Account, i.ID), Subject: i.Subject, LocalSubject: i.Local, Type: exportTypeProto(i.Type),
		ShareRequestor: i.ShareRequestor, State: apiv1.Import_STATE_ACTIVE, BrokenReason: state.Broken, ExporterPublicKey: i.Exporter,
		ExpireTime: timestamp(state.ExpireTime), CreateTime: timestamp(i.CreateTime), Etag: tenancy.Etag(i.Revision),
	}
	if state.Broken != "" {
		out.State = apiv1.Import_STATE_BROKEN
	}
	if i.Share != "" {
		out.Source = tenancy.ShareName(organization, i.Share)
	} else {
		out.Source = tenancy.ExportName(organization, i.FromAccount, i.FromExport)
	}
	return out
}

// newImport reads what to import. What another organization has, or the caller
// does not reach, reads like what is not there.
func newImport(ctx context.Context, n name, in *apiv1.Import) (tenancy.NewImport, error) {
	source, err := parseName(in.GetSource())
	if err != nil {
		return tenancy.NewImport{}, err
	}
	// A share is granted to one account, which is checked where it is used.
	reached := source.share != "" || authz.Reaches(callOf(ctx).principal, source.account)
	if source.organization != n.organization || !reached {
		return tenancy.NewImport{}, errs.New(errs.Precondition, "SOURCE_NOT_FOUND", "there is no %q", in.GetSource()).WithField("import.source").
			WithNext("exports of other organizations are imported as shares")
	}
	return tenancy.NewImport{
		FromAccount: source.account, FromExport: source.export, Share: source.share,
		Subject: in.GetSubject(), Local: in.GetLocalSubject(), ShareRequestor: in.GetShareRequestor(),
	}, nil
}

// CreateImport implements apiv1.ImportServiceServer.
func (s *imports) CreateImport(ctx context.Context, req *apiv1.CreateImportRequest) (*apiv1.CreateImportResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	in, err := newImport(ctx, n, req.GetImport())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.CreateImportResponse, error) {
		out, err := s.tenancy.CreateImport(ctx, tx, "CreateImport", n.account, req.GetImportId(), in)
		if err != nil {
			return nil, err
		}
		state := tenancy.ImportState{ExpireTime: out.ExpireTime}
		return &apiv1.CreateImportResponse{Import: importProto(n.organization, out.Import, state), Operation: operationProto(n.organization, out.Operation)}, nil
	})
}

// GetImport implements apiv1.ImportServiceServer.
func (s *imports) GetImport(ctx context.Context, req *apiv1.GetImportRequest) (*apiv1.GetImportResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	a, err := v.Account(ctx, n.account)
	if err != nil {
		return nil, err
	}
	i, err := v.Import(ctx, n.account, n.imported)
	if err != nil {
		return nil, err
	}
	state, err := s.tenancy.StateOf(ctx, v, i, a.PublicKey, time.Now())
	if err != nil {
		return nil, err
	}
	return &apiv1.GetImportResponse{Import: importProto(n.organization, i, state)}, nil
}

// ListImports implements apiv1.ImportServiceServer.
func (s *imports) ListImports(ctx context.Context, req *apiv1.ListImportsRequest) (*apiv1.ListImportsResponse, error) {
	page, v, n, err := s.parent(ctx, req)
	if err != nil {
		return nil, err
	}
	a, err := v.Account(ctx, n.account)
	if err != nil {
		return nil, err
	}
	list, next, err := v.Imports(ctx, n.account, page)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListImportsResponse{NextPageToken: store.Token(next)}
	for _, i := range list {
		state, err := s.tenancy.StateOf(ctx, v, i, a.PublicKey, time.Now())
		if err != nil {
			return nil, err
		}
		resp.Imports = append(resp.Imports, importProto(n.organization, i, state))
	}
	return resp, nil
}

// DeleteImport implements apiv1.ImportServiceServer.
func (s *imports) DeleteImport(ctx context.Context, req *apiv1.DeleteImportRequest) (*apiv1.DeleteImportResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.DeleteImportResponse, error) {
		op, err := s.tenancy.DeleteImport(ctx, tx, "DeleteImport", n.account, n.imported, req.GetEtag())
		return &apiv1.DeleteImportResponse{Operation: operationProto(n.organization, op)}, err
	})
}
