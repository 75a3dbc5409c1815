package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coveymq/covey/billing/ledger"
	"github.com/coveymq/covey/internal/errs"
)

// Audit is the part of a ledger that keeps audit lines.
type Audit interface {
	AppendAudit(ctx context.Context, lines []ledger.AuditLine) error
	AuditLines(ctx context.Context, chain string, after int64, limit int) ([]ledger.AuditLine, error)
	AuditEnd(ctx context.Context, chain string) (int64, error)
	AuditChains(ctx context.Context) ([]string, error)
	AuditBehind(ctx context.Context, sink string, limit int) ([]ledger.AuditBacklog, error)
	AuditTaken(ctx context.Context, sink string, taken map[string]int64) error
}

// RunAudit tests the audit logs that open returns. Each call must return an
// empty one.
func RunAudit(t *testing.T, open func(testing.TB) Audit) {
	t.Helper()
	t.Run("LinesStayInOrder", func(t *testing.T) { testAuditLines(t, open(t)) })
	t.Run("SinksHaveCursors", func(t *testing.T) { testAuditSinks(t, open(t)) })
	t.Run("NothingIsReplaced", func(t *testing.T) { testAuditFork(t, open(t)) })
}

func auditLine(chain string, sequence int64) ledger.AuditLine {
	return ledger.AuditLine{
		Chain: chain, Sequence: sequence, Time: time.UnixMilli(1_700_000_000_000 + sequence).UTC(),
		Hash: fmt.Sprintf("h%d", sequence), Entry: fmt.Sprintf(`{"sequence":%d,"odd":"\u0000é"}`, sequence),
	}
}

func testAuditLines(t *testing.T, l Audit) {
	t.Helper()
	var all []ledger.AuditLine
	for i := range int64(25) {
		all = append(all, auditLine("acme", i+1))
	}
	other := []ledger.AuditLine{auditLine("", 1), auditLine("acme2", 1)}
	for _, lines := range [][]ledger.AuditLine{all[:10], all[5:], other, all, nil} { // a repeat changes nothing
		if err := l.AppendAudit(t.Context(), lines); err != nil {
			t.Fatal(err)
		}
	}
	var got []ledger.AuditLine
	for {
		page, err := l.AuditLines(t.Context(), "acme", int64(len(got)), 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	if d := cmp.Diff(all, got); d != "" {
		t.Error(d)
	}
	for chain, want := range map[string]int64{"acme": 25, "": 1, "nobody": 0} {
		if end, err := l.AuditEnd(t.Context(), chain); err != nil || end != want {
			t.Errorf("end of %q: %d, %v; want %d", chain, end, err, want)
		}
	}
	chains, err := l.AuditChains(t.Context())
	if d := cmp.Diff([]string{"", "acme", "acme2"}, chains); d != "" || err != nil {
		t.Error(d, err)
	}
}

func testAuditFork(t *testing.T, l Audit) {
	t.Helper()
	if err := l.AppendAudit(t.Context(), []ledger.AuditLine{auditLine("acme", 1)}); err != nil {
		t.Fatal(err)
	}
	forged := auditLine("acme", 1)
	forged.Hash = "other"
	err := l.AppendAudit(t.Context(), []ledger.AuditLine{auditLine("acme", 2), forged})
	var e *errs.Error
	if !errors.As(err, &e) || e.Reason != "AUDIT_FORKED" {
		t.Errorf("another line in the place of one: %v", err)
	}
	if end, err := l.AuditEnd(t.Context(), "acme"); err != nil || end != 1 {
		t.Errorf("a refused append kept something: %d, %v", end, err)
	}
}

func testAuditSinks(t *testing.T, l Audit) {
	t.Helper()
	err := l.AppendAudit(t.Context(), []ledger.AuditLine{auditLine("a", 1), auditLine("a", 2), auditLine("b", 1)})
	if err != nil {
		t.Fatal(err)
	}
	want := func(sink string, limit int, want ...ledger.AuditBacklog) {
		t.Helper()
		got, err := l.AuditBehind(t.Context(), sink, limit)
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("backlog of %s: %v\n%s", sink, err, d)
		}
	}
	want("one", 9, ledger.AuditBacklog{Chain: "a", End: 2}, ledger.AuditBacklog{Chain: "b", End: 1})
	want("one", 1, ledger.AuditBacklog{Chain: "a", End: 2})
	for _, taken := range []map[string]int64{{"a": 2, "b": 1}, {"a": 1}} { // it never goes back
		if err := l.AuditTaken(t.Context(), "one", taken); err != nil {
			t.Fatal(err)
		}
	}
	want("one", 9)
	want("two", 9, ledger.AuditBacklog{Chain: "a", End: 2}, ledger.AuditBacklog{Chain: "b", End: 1})
	if err := l.AppendAudit(t.Context(), []ledger.AuditLine{auditLine("a", 3)}); err != nil {
		t.Fatal(err)
	}
	want("one", 9, ledger.AuditBacklog{Chain: "a", After: 2, End: 3})
}
