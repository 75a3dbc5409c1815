package api

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/controlplane/internal/audit"
	"github.com/coveymq/covey/controlplane/internal/store"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// AuditReader reads audit logs, wherever their entries are.
type AuditReader interface {
	// Entries reads at most limit entries of the view's log that come after a
	// sequence, in order.
	Entries(ctx context.Context, v *store.View, after int64, limit int) ([]audit.Entry, error)
}

// installationLog names the operator's own log.
const installationLog = "installation"

type audits struct {
	apiv1.UnimplementedAuditServiceServer
	*Server
}

// ListAuditEntries implements apiv1.AuditServiceServer.
func (s *audits) ListAuditEntries(ctx context.Context, req *apiv1.ListAuditEntriesRequest) (*apiv1.ListAuditEntriesResponse, error) {
	page, err := store.ParsePage(req.GetPageSize(), "")
	if err != nil {
		return nil, err
	}
	organization := ""
	if req.GetParent() != installationLog {
		n, err := parseName(req.GetParent())
		if err != nil {
			return nil, err
		}
		organization = n.organization
	}
	v, err := s.store.View(callOf(ctx).principal.Scope(), organization)
	if err != nil {
		return nil, err
	}
	if organization != "" {
		if _, err := v.Org(ctx); err != nil {
			return nil, err
		}
	}
	head, _, err := v.Audit(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := s.audit.Entries(ctx, v, req.GetAfterSequence(), page.Size)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListAuditEntriesResponse{HeadSequence: head.Sequence}
	for _, e := range entries {
		resp.Entries = append(resp.Entries, auditProto(e))
	}
	return resp, nil
}

func auditProto(e audit.Entry) *apiv1.AuditEntry {
	out := &apiv1.AuditEntry{
		Sequence: e.Sequence, Time: timestamppb.New(e.Time), Actor: e.Actor, Method: e.Method, Target: e.Target, RequestId: e.RequestID,
		Operation: e.Operation, Reason: e.Reason, Digest: e.Digest, PreviousHash: e.Previous, Hash: e.Hash,
	}
	for _, r := range e.Refusals {
		out.Refusals = append(out.Refusals, &apiv1.AuditRefusal{
			AccountPublicKey: r.Account, UserPublicKey: r.User, Kind: r.Kind, Reason: r.Reason, Count: r.Count,
			FirstTime: timestamp(r.First), LastTime: timestamp(r.Last),
		})
	}
	return out
}
