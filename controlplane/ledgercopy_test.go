package controlplane_test

import (
	"strings"
	"testing"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/testpostgres"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

// A control plane's ledger moves from its data directory into Postgres, with the
// audit log whole, and the file is nobody's ledger any more.
func TestTheLedgerMovesToPostgres(t *testing.T) {
	url := testpostgres.Start(t).Database(t)
	dir := t.TempDir()
	p := start(t, dir)
	key := p.key
	p.signUp(t, "acme")
	verified(t, p)
	to := config(dir, p.log)
	to.LedgerURL = controlplane.NewSecret(url)
	if _, err := controlplane.CopyLedger(t.Context(), to, func(string, int64) {}); reasonOf(err) != "DATA_DIR_IN_USE" {
		t.Errorf("while the control plane runs: %v", err)
	}
	p.stop()
	out, err := controlplane.CopyLedger(t.Context(), to, func(string, int64) {})
	if err != nil || len(out.Tables) == 0 {
		t.Fatalf("copy: %v, %v", out, err)
	}
	again, err := controlplane.CopyLedger(t.Context(), to, func(string, int64) {})
	if err != nil || len(again.Tables) != 0 {
		t.Errorf("copy again: %v, %v", again, err)
	}
	if _, err := controlplane.New(t.Context(), config(dir, p.log)); reasonOf(err) != "LEDGER_OTHER" {
		t.Errorf("start with the old ledger: %v", err)
	}
	moved := start(t, dir, onPostgres(url))
	moved.key = key
	moved.signUp(t, "globex")
	verified(t, moved)
	if strings.Contains(p.log.String()+moved.log.String(), url) {
		t.Error("the URL is in the log")
	}
}

// verified waits until the installation's audit log is whole and in the ledger.
func verified(t *testing.T, p *plane) {
	t.Helper()
	stream := must[adminv1.MaintenanceService_VerifyAuditClient](t, "verify")(
		adminv1.NewMaintenanceServiceClient(p.as(t, p.key).conn).VerifyAudit(t.Context(), &adminv1.VerifyAuditRequest{}))
	seen := 0
	for {
		v, err := stream.Recv()
		if err != nil {
			break
		}
		seen++
		if v.GetProblem() != "" {
			t.Errorf("the audit log of %q: %s", v.GetOrganization(), v.GetProblem())
		}
	}
	if seen < 2 {
		t.Errorf("%d audit logs", seen)
	}
}
