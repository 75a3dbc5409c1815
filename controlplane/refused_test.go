package controlplane_test

import (
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/controlplane/internal/auditlog"
	"github.com/coveymq/covey/controlplane/internal/refused"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// What a real broker refuses is in the audit log of whose account it is, chained
// like all else; what is nobody's is in the installation's. A flood is one entry.
func TestWhatBrokersRefuseIsInTheAuditLog(t *testing.T) {
	p := start(t, t.TempDir())
	signed, owner := p.signUp(t, "acme")
	_, other := p.signUp(t, "globex")
	ctx := t.Context()
	audits := func(c *caller) apiv1.AuditServiceClient { return apiv1.NewAuditServiceClient(c.conn) }
	read := func(c *caller, parent string) []*apiv1.AuditEntry {
		t.Helper()
		return must[*apiv1.ListAuditEntriesResponse](t, "audit")(audits(c).ListAuditEntries(ctx, &apiv1.ListAuditEntriesRequest{Parent: parent})).GetEntries()
	}
	key := p.keyOf(t, acmeAccount)
	j := p.broker(t)
	eventually(t, func() bool {
		c, err := j.connect(t, signed.GetCredsFile())
		if err == nil {
			c.Close()
		}
		return err == nil
	})

	// Who may read nothing tries to; a revoked credential, many times; a stranger.
	must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{
		Parent: acmeAccount, UserId: "narrow", User: &apiv1.User{Permissions: &apiv1.Permissions{
			Publish: &apiv1.SubjectRules{Allow: []string{"mine"}}, Subscribe: &apiv1.SubjectRules{Allow: []string{"mine", "_INBOX.>"}},
		}},
	}))
	narrow := j.mustConnect(t, owner.issue(t, acmeAccount+"/users/narrow").GetCredsFile())
	for range 7 {
		if err := narrow.Publish("yours", nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := narrow.SubscribeSync("yours"); err != nil {
		t.Fatal(err)
	}
	narrow.wantAlive(t, "refused")
	lost := owner.issue(t, acmeUser)
	op := must[*apiv1.RevokeCredentialResponse](t, "revoke")(owner.credentials.RevokeCredential(ctx, &apiv1.RevokeCredentialRequest{Name: lost.GetCredential().GetName()})).GetOperation()
	j.settle(t, owner, acmeAccount, op)
	const tries = 40
	for range tries {
		if _, err := j.connect(t, lost.GetCredsFile()); err == nil {
			t.Fatal("a revoked credential is let in")
		}
	}
	account, _ := nkeys.CreateAccount()
	user, _ := nkeys.CreateUser()
	public, _ := user.PublicKey()
	seed, _ := user.Seed()
	token, err := jwt.NewUserClaims(public).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		t.Fatal(err)
	}
	j.wantRefused(t, string(creds), "of nobody's account")

	counts := func(entries []*apiv1.AuditEntry) map[string]int64 {
		sums := map[string]int64{}
		for _, e := range entries {
			for _, r := range e.GetRefusals() {
				if e.GetMethod() != refused.Method || r.GetFirstTime() == nil || r.GetLastTime().AsTime().Before(r.GetFirstTime().AsTime()) {
					t.Errorf("entry %v", e)
				}
				if e.GetTarget() == acme && r.GetAccountPublicKey() != key {
					t.Errorf("acme reads of %v", r)
				}
				sums[r.GetKind()+" "+r.GetUserPublicKey()] += r.GetCount()
			}
		}
		return sums
	}
	lostUser := lost.GetCredential().GetPublicKey()
	eventually(t, func() bool { return counts(read(p.as(t, p.key), "installation"))["connect "+public] == 1 })
	eventually(t, func() bool { return counts(read(owner, acme))["connect "+lostUser] > 0 })
	entries := 0
	for _, e := range read(owner, acme) {
		if len(e.GetRefusals()) > 0 {
			entries++
		}
	}
	if sums := counts(read(owner, acme)); entries != 1 || sums["connect "+lostUser] > tries || len(sums) > 3 {
		t.Errorf("%d entries about %v", entries, sums)
	}
	if theirs := counts(read(other, globex)); len(theirs) != 0 {
		t.Errorf("globex reads of %v", theirs)
	}
	for by, parent := range map[*caller]string{owner: "installation", other: acme} {
		if _, err := audits(by).ListAuditEntries(ctx, &apiv1.ListAuditEntriesRequest{Parent: parent}); err == nil {
			t.Errorf("%s is read by a tenant", parent)
		}
	}
	if err := verifyAll(t, p); err != "" {
		t.Errorf("the chain is broken: %s", err)
	}
}

func verifyAll(t *testing.T, p *plane) string {
	t.Helper()
	var problems []string
	err := p.VerifyAudit(t.Context(), func(v auditlog.Verdict) error {
		if v.Problem != "" {
			problems = append(problems, v.Organization+": "+v.Problem)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(problems, ", ")
}
