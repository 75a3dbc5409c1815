package e2e_test

import (
	"strings"
	"testing"
)

// The operator's staff makes a plan, puts an organization on it, overrides one
// limit, suspends and resumes: everything with the command line, on a running
// system with a client connected.
func TestTheStaffPlansAndSuspends(t *testing.T) {
	h := newHome(t)
	b := h.up(anyPorts()...)
	acme := h.signUp("acme")
	staff := func(args ...string) outcome {
		return h.run("covey", append([]string{"--context", b.AdminContext}, args...)...)
	}
	made := func(args ...string) string {
		t.Helper()
		o := staff(args...)
		if o.code != 0 {
			t.Fatalf("%v: %d %s %s", args, o.code, o.stdout, o.stderr)
		}
		return o.stdout
	}
	shows := func(got string, all ...string) {
		t.Helper()
		for _, want := range all {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
	}
	shows(made("admin", "plan", "create", "starter", "--total", "connections=4", "--account-limit", "connections=2", "--account-limit", "msgs-in=1000/2000/slow", "--max-accounts", "2", "--shared", ""),
		"connections=4", "msgs_in=1000/2000/slow", "reached everybody")
	shows(made("admin", "plan", "assign", "acme", "starter", "--dry-run"), "connections", "unlimited", "lower")
	if o := staff("admin", "plan", "assign", "acme", "starter"); o.code == 0 || !strings.Contains(o.stderr, "accept") {
		t.Errorf("lowered without being meant: %d %s", o.code, o.stderr)
	}
	made("admin", "plan", "assign", "acme", "starter", "--accept-lowering", "--reason", "it signed", "--wait")
	shows(h.covey("org", "plan"), "2 of 4", "an account has 2")
	shows(made("admin", "plan", "list"), "starter", "default")
	shows(made("admin", "plan", "organizations", "starter"), "acme")
	shows(h.covey("explain", "limits", "default"), "plan")
	shows(made("admin", "quota", "set", "acme", "connections", "9", "--reason", "a fair", "--for", "1h"), "quotaOverrides/connections", "a fair")
	shows(h.covey("org", "plan"), "2 of 9", "overridden", "a fair")
	if o := staff("admin", "quota", "set", "acme", "connection", "9", "--reason", "x"); o.code != 2 {
		t.Errorf("a limit that is not there: %d %s", o.code, o.stderr)
	}
	made("admin", "quota", "delete", "acme", "connections")
	made("admin", "plan", "update", "starter", "--total", "connections=6", "--description", "small")
	shows(h.covey("org", "plan"), "2 of 6")

	nc, closed := b.watched(acme.CredsFile)
	defer nc.Close()
	shows(made("admin", "org", "suspend", "acme", "--reason", "unpaid"), "suspended", "unpaid")
	b.mustClose("suspended", closed)
	b.mustRefuse("suspended", acme.CredsFile)
	if o := h.run("covey", "account", "create", "more"); o.code == 0 || !strings.Contains(o.stderr, "unpaid") {
		t.Errorf("a suspended organization changes something: %d %s", o.code, o.stderr)
	}
	shows(h.covey("org", "get"), "suspended")
	shows(made("admin", "org", "resume", "acme", "--reason", "paid"), "active")
	reaches(t, b.NATSURL, acme.CredsFile)
}
