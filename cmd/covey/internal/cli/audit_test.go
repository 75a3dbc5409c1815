package cli

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// longLog is an audit log that is handed out in pages of ten.
type longLog struct{ head int64 }

func (l longLog) ListAuditEntries(_ context.Context, req *apiv1.ListAuditEntriesRequest, _ ...grpc.CallOption) (*apiv1.ListAuditEntriesResponse, error) {
	r := &apiv1.ListAuditEntriesResponse{HeadSequence: l.head}
	for n := req.GetAfterSequence() + 1; n <= l.head && len(r.GetEntries()) < min(int(req.GetPageSize()), 10); n++ {
		r.Entries = append(r.Entries, &apiv1.AuditEntry{Sequence: n})
	}
	return r, nil
}

func TestAuditListShowsTheNewest(t *testing.T) {
	for _, tc := range []struct {
		after, last int64
		all         bool
		first, n    int64
	}{{0, 25, false, 76, 25}, {0, 500, false, 1, 100}, {90, 50, true, 91, 10}, {100, 50, true, 0, 0}} {
		got, err := auditEntries(t.Context(), longLog{100}, "organizations/acme", tc.after, tc.last, tc.all)
		if err != nil || int64(len(got)) != tc.n || len(got) > 0 && got[0].GetSequence() != tc.first {
			t.Errorf("%+v: %d entries, %v", tc, len(got), err)
		}
	}
	if _, err := auditEntries(t.Context(), longLog{100}, "organizations/acme", 0, 0, false); err == nil {
		t.Error("none were listed")
	}
	e := &apiv1.AuditEntry{Refusals: []*apiv1.AuditRefusal{{Kind: "connect", UserPublicKey: "UA", Reason: "revoked", Count: 40}, {Count: 2}}}
	if got := auditReason(e); got != "42 refused; 40 x connect of UA: revoked" {
		t.Errorf("shown as %q", got)
	}
}
