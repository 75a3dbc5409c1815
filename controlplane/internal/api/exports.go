package api

import (
	"context"
	"slices"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type exports struct {
	apiv1.UnimplementedExportServiceServer
	*Server
}

func exportTypeProto(t accounts.ShareType) apiv1.Export_Type {
	if t == accounts.Service {
		return apiv1.Export_TYPE_SERVICE
	}
	return apiv1.Export_TYPE_STREAM
}

func exportProto(organization string, e store.Export) *apiv1.Export {
	out := &apiv1.Export{
		Name: tenancy.ExportName(organization, e.Account, e.ID), Description: e.Description, Subject: e.Subject, Type: exportTypeProto(e.Type),
		Audience: apiv1.Export_AUDIENCE_ORGANIZATION, ResponseThresholdMs: e.ThresholdMillis, LatencySubject: e.LatencySubject,
		LatencySamplingPercent: int32(e.LatencyPercent), //nolint:gosec // a percentage
		CreateTime:             timestamp(e.CreateTime), UpdateTime: timestamp(e.UpdateTime), Etag: tenancy.Etag(e.Revision),
	}
	if e.Offered {
		out.Audience = apiv1.Export_AUDIENCE_OFFERED
	}
	if e.Type == accounts.Service {
		out.ResponseType = map[accounts.Answers]apiv1.Export_ResponseType{
			accounts.AnswersOne: apiv1.Export_RESPONSE_TYPE_SINGLETON, accounts.AnswersMany: apiv1.Export_RESPONSE_TYPE_STREAM,
			accounts.AnswersChunked: apiv1.Export_RESPONSE_TYPE_CHUNKED,
		}[e.Answers]
	}
	return out
}

// exportFields reads the fields of an export. Numbers of enumerations that are
// not defined mean nothing.
func exportFields(e *apiv1.Export) (tenancy.ExportFields, error) {
	f := tenancy.ExportFields{
		Description: e.GetDescription(), Subject: e.GetSubject(), Offered: e.GetAudience() == apiv1.Export_AUDIENCE_OFFERED,
		ResponseThreshold: time.Duration(e.GetResponseThresholdMs()) * time.Millisecond,
		LatencySubject:    e.GetLatencySubject(), LatencyPercent: int(e.GetLatencySamplingPercent()),
	}
	types := map[apiv1.Export_Type]accounts.ShareType{
		apiv1.Export_TYPE_UNSPECIFIED: "", apiv1.Export_TYPE_STREAM: accounts.Stream, apiv1.Export_TYPE_SERVICE: accounts.Service,
	}
	answers := map[apiv1.Export_ResponseType]accounts.Answers{
		apiv1.Export_RESPONSE_TYPE_UNSPECIFIED: accounts.AnswersOne, apiv1.Export_RESPONSE_TYPE_SINGLETON: accounts.AnswersOne,
		apiv1.Export_RESPONSE_TYPE_STREAM: accounts.AnswersMany, apiv1.Export_RESPONSE_TYPE_CHUNKED: accounts.AnswersChunked,
	}
	var known bool
	if f.Type, known = types[e.GetType()]; !known {
		return f, undefined("export.type", int32(e.GetType()))
	}
	if f.Answers, known = answers[e.GetResponseType()]; !known {
		return f, undefined("export.response_type", int32(e.GetResponseType()))
	}
	if _, known := apiv1.Export_Audience_name[int32(e.GetAudience())]; !known {
		return f, undefined("export.audience", int32(e.GetAudience()))
	}
	return f, nil
}

func undefined(field string, number int32) error {
	return errs.New(errs.Invalid, "INVALID_FIELD", "%s: %d is not defined", field, number).WithField(field)
}

// CreateExport implements apiv1.ExportServiceServer.
func (s *exports) CreateExport(ctx context.Context, req *apiv1.CreateExportRequest) (*apiv1.CreateExportResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	fields, err := exportFields(req.GetExport())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.CreateExportResponse, error) {
		out, err := s.tenancy.CreateExport(ctx, tx, "CreateExport", n.account, req.GetExportId(), fields)
		if err != nil {
			return nil, err
		}
		return &apiv1.CreateExportResponse{Export: exportProto(n.organization, out.Export), Operation: operationProto(n.organization, *out.Operation)}, nil
	})
}

// describeExport shows an export with those who import it.
func (s *exports) describeExport(ctx context.Context, v *store.View, e store.Export) (*apiv1.Export, error) {
	importers, err := v.Importers(ctx, e.Account, e.ID)
	if err != nil {
		return nil, err
	}
	out := exportProto(v.Organization(), e)
	out.Imports = s.reachable(ctx, v.Organization(), importers)
	return out, nil
}

// GetExport implements apiv1.ExportServiceServer.
func (s *exports) GetExport(ctx context.Context, req *apiv1.GetExportRequest) (*apiv1.GetExportResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	e, err := v.Export(ctx, n.account, n.export)
	if err != nil {
		return nil, err
	}
	out, err := s.describeExport(ctx, v, e)
	return &apiv1.GetExportResponse{Export: out}, err
}

// ListExports implements apiv1.ExportServiceServer.
func (s *exports) ListExports(ctx context.Context, req *apiv1.ListExportsRequest) (*apiv1.ListExportsResponse, error) {
	page, v, n, err := s.parent(ctx, req)
	if err != nil {
		return nil, err
	}
	if _, err := v.Account(ctx, n.account); err != nil {
		return nil, err
	}
	list, next, err := v.Exports(ctx, n.account, page)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListExportsResponse{NextPageToken: store.Token(next)}
	for _, e := range list {
		out, err := s.describeExport(ctx, v, e)
		if err != nil {
			return nil, err
		}
		resp.Exports = append(resp.Exports, out)
	}
	return resp, nil
}

// UpdateExport implements apiv1.ExportServiceServer.
func (s *exports) UpdateExport(ctx context.Context, req *apiv1.UpdateExportRequest) (*apiv1.UpdateExportResponse, error) {
	in := req.GetExport()
	n, err := parseName(in.GetName())
	if err != nil {
		return nil, err
	}
	if n.export == "" || n.offer != "" {
		return nil, errs.New(errs.Invalid, "INVALID_NAME", "export.name names no export").WithField("export.name")
	}
	fields, err := exportFields(in)
	if err != nil {
		return nil, err
	}
	change := func(f *tenancy.ExportFields) error { return maskExport(f, fields, req.GetUpdateMask().GetPaths()) }
	var broken []string
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.UpdateExportResponse, error) {
		out, err := s.tenancy.UpdateExport(ctx, tx, "UpdateExport", n.account, n.export, in.GetEtag(), change)
		if err != nil {
			return nil, err
		}
		resp := &apiv1.UpdateExportResponse{
			Export: exportProto(n.organization, out.Export), Operation: operationProto(n.organization, *out.Operation),
			BrokenImports: s.reachable(ctx, n.organization, out.Broken),
		}
		broken = resp.GetBrokenImports()
		resp.Export.Imports = s.reachable(ctx, n.organization, out.Importers)
		return resp, nil
	}, func(context.Context, *store.Tx) (touched, error) {
		return touched{dependents: broken}, nil
	})
}

func maskExport(f *tenancy.ExportFields, in tenancy.ExportFields, paths []string) error {
	for _, path := range paths {
		switch path {
		case "*":
			in.Type = f.Type
			*f = in
		case "description":
			f.Description = in.Description
		case "subject":
			f.Subject = in.Subject
		case "audience":
			f.Offered = in.Offered
		case "response_type":
			f.Answers = in.Answers
		case "response_threshold_ms":
			f.ResponseThreshold = in.ResponseThreshold
		case "latency_subject":
			f.LatencySubject = in.LatencySubject
		case "latency_sampling_percent":
			f.LatencyPercent = in.LatencyPercent
		default:
			return errs.New(errs.Invalid, "INVALID_MASK", "%q is not a writable field of an export", path).WithField("update_mask").
				WithNext("writable are description, subject, audience, response_type, response_threshold_ms, latency_subject and latency_sampling_percent")
		}
	}
	return nil
}

// DeleteExport implements apiv1.ExportServiceServer.
func (s *exports) DeleteExport(ctx context.Context, req *apiv1.DeleteExportRequest) (*apiv1.DeleteExportResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	var broken []string
	return preview(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.DeleteExportResponse, error) {
		out, err := s.tenancy.DeleteExport(ctx, tx, "DeleteExport", n.account, n.export, req.GetEtag(), req.GetForce())
		if err != nil {
			return nil, err
		}
		resp := &apiv1.DeleteExportResponse{
			Operation: operationProto(n.organization, *out.Operation), BrokenImports: s.reachable(ctx, n.organization, out.Broken),
		}
		for _, o := range out.Revoked {
			resp.RevokedOffers = append(resp.RevokedOffers, tenancy.OfferName(o))
		}
		broken = slices.Concat(resp.GetBrokenImports(), resp.GetRevokedOffers())
		return resp, nil
	}, func(context.Context, *store.Tx) (touched, error) {
		return touched{dependents: broken}, nil
	})
}
