package controlplane_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// crew makes users of acme's first account, in one call.
func crew(t *testing.T, owner *caller, n int) (names []string) {
	t.Helper()
	req := &apiv1.BatchCreateUsersRequest{Parent: acmeAccount}
	for i := range n {
		id := fmt.Sprintf("crew-%02d", i)
		req.Users = append(req.Users, &apiv1.NewUser{UserId: id, User: &apiv1.User{DisplayName: id}})
		names = append(names, acmeAccount+"/users/"+id)
	}
	must[*apiv1.BatchCreateUsersResponse](t, "users")(owner.users.BatchCreateUsers(t.Context(), req))
	return names
}

func issues(names ...string) []*apiv1.IssueCredentialRequest {
	var all []*apiv1.IssueCredentialRequest
	for _, n := range names {
		all = append(all, &apiv1.IssueCredentialRequest{Parent: n})
	}
	return all
}

func revokes(issued ...*apiv1.IssueCredentialResponse) []*apiv1.RevokeCredentialRequest {
	var all []*apiv1.RevokeCredentialRequest
	for _, c := range issued {
		all = append(all, &apiv1.RevokeCredentialRequest{Name: c.GetCredential().GetName(), Etag: c.GetCredential().GetEtag()})
	}
	return all
}

// audited returns the targets of the latest change of a method, and its operation.
func audited(t *testing.T, by *caller, method string) (targets []string, operation string) {
	t.Helper()
	all := must[*apiv1.ListAuditEntriesResponse](t, "audit")(apiv1.NewAuditServiceClient(by.conn).ListAuditEntries(t.Context(),
		&apiv1.ListAuditEntriesRequest{Parent: acme, PageSize: 1000})).GetEntries()
	slices.Reverse(all)
	request := ""
	for _, e := range all {
		if e.GetMethod() == method && (request == "" || request == e.GetRequestId()) {
			request, operation = e.GetRequestId(), e.GetOperation()
			targets = append(targets, e.GetTarget())
		}
	}
	slices.Reverse(targets)
	return targets, operation
}

// Credentials of a batch work, on a server that we did not write, too, until a batch
// revokes them: with one operation, and an entry of the audit log for each.
func TestCredentialsComeAndGoInBatches(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(*plane, *testing.T) judge) {
		p := start(t, t.TempDir())
		_, owner := p.signUp(t, "acme")
		ctx := t.Context()
		names := crew(t, owner, 30)
		j := open(p, t)
		issued := must[*apiv1.BatchIssueCredentialsResponse](t, "issue")(owner.credentials.BatchIssueCredentials(ctx, &apiv1.BatchIssueCredentialsRequest{
			Parent: acmeAccount, Requests: issues(names...),
		})).GetIssued()
		for i, c := range issued {
			if !strings.HasPrefix(c.GetCredential().GetName(), names[i]+"/credentials/") || c.GetCredential().GetEtag() == "" {
				t.Errorf("%s got %v", names[i], c.GetCredential())
			}
		}
		first, last := j.mustConnect(t, issued[0].GetCredsFile()), j.mustConnect(t, issued[29].GetCredsFile())
		if targets, _ := audited(t, owner, "BatchIssueCredentials"); !slices.Equal(targets, names) {
			t.Errorf("the audit log says %v", targets)
		}
		// All but the last go.
		resp := must[*apiv1.BatchRevokeCredentialsResponse](t, "revoke")(owner.credentials.BatchRevokeCredentials(ctx, &apiv1.BatchRevokeCredentialsRequest{
			Parent: acmeAccount, Requests: revokes(issued[:29]...), Reason: "gone",
		}))
		j.settle(t, owner, acmeAccount, resp.GetOperation())
		first.wantGone(t, "a batch revoked it")
		last.wantAlive(t, "it was not revoked")
		j.wantRefused(t, issued[7].GetCredsFile(), "revoked in a batch")
		for i, c := range resp.GetCredentials() {
			if c.GetName() != issued[i].GetCredential().GetName() || c.GetState() != apiv1.Credential_STATE_REVOKED || c.GetRevokeTime() == nil {
				t.Errorf("credential %v", c)
			}
		}
		targets, operation := audited(t, owner, "BatchRevokeCredentials")
		if len(targets) != 29 || targets[3] != issued[3].GetCredential().GetName() || !strings.HasSuffix(resp.GetOperation().GetName(), "/"+operation) {
			t.Errorf("the audit log says %v, %s", targets, operation)
		}
		if problem := verifyAll(t, p); problem != "" {
			t.Errorf("the chain is broken: %s", problem)
		}
	})
}

func TestABatchOfCredentialsIsAllOrNone(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	p.signUp(t, "globex")
	ctx := t.Context()
	names := crew(t, owner, 3)
	issue := func(r *apiv1.BatchIssueCredentialsRequest) ([]*apiv1.IssueCredentialResponse, error) {
		r.Parent = acmeAccount
		resp, err := owner.credentials.BatchIssueCredentials(ctx, r)
		return resp.GetIssued(), err
	}
	count := func() (n int) {
		for _, name := range names {
			n += len(must[*apiv1.ListCredentialsResponse](t, "list")(owner.credentials.ListCredentials(ctx, &apiv1.ListCredentialsRequest{Parent: name})).GetCredentials())
		}
		return n
	}
	pair, _ := nkeys.CreateUser()
	public, _ := pair.PublicKey()
	own := issues(names[0], names[1])
	own[0].PublicKey, own[1].PublicKey = public, public
	crowd := issues(slices.Repeat([]string{names[0]}, 30)...)
	for what, c := range map[string]struct {
		requests []*apiv1.IssueCredentialRequest
		code     errs.Code
		reason   string
	}{
		"a user is missing":  {issues(names[0], acmeAccount+"/users/nobody"), errs.NotFound, "RESOURCE_NOT_FOUND"},
		"another account":    {issues(names[0], globexAccount+"/users/default"), errs.Invalid, "INVALID_NAME"},
		"a key twice":        {own, errs.Invalid, "INVALID_FIELD"},
		"its own request id": {[]*apiv1.IssueCredentialRequest{{Parent: names[0], RequestId: "x"}}, errs.Invalid, "INVALID_FIELD"},
		"too long a life":    {append(issues(names[0]), &apiv1.IssueCredentialRequest{Parent: names[1], TtlSeconds: 315360001}), errs.Invalid, "INVALID_FIELD"},
		"none":               {nil, errs.Invalid, "INVALID_FIELD"},
		"thirty-one":         {append(issues(names[1]), crowd...), errs.Invalid, "INVALID_FIELD"},
	} {
		if _, err := issue(&apiv1.BatchIssueCredentialsRequest{Requests: c.requests}); err == nil {
			t.Errorf("%s: it is done", what)
		} else {
			t.Run(what, func(t *testing.T) { wantError(t, err, c.code, c.reason) })
		}
	}
	if _, err := issue(&apiv1.BatchIssueCredentialsRequest{Requests: issues(names...), ValidateOnly: true}); err != nil || count() != 0 {
		t.Errorf("tried: %v, %d credentials", err, count())
	}
	// One user has room for fifty: thirty fit, and thirty more do not.
	if got, err := issue(&apiv1.BatchIssueCredentialsRequest{Requests: crowd, RequestId: "crowd"}); err != nil || len(got) != 30 {
		t.Fatalf("thirty of one user: %v", err)
	}
	_, err := issue(&apiv1.BatchIssueCredentialsRequest{Requests: crowd})
	wantError(t, err, errs.Exhausted, "CREDENTIAL_QUOTA")
	// A secret is in one answer; what holds none is answered again.
	_, err = issue(&apiv1.BatchIssueCredentialsRequest{Requests: crowd, RequestId: "crowd"})
	wantError(t, err, errs.Precondition, "SECRET_ALREADY_DELIVERED")
	own = own[:1]
	once, err1 := issue(&apiv1.BatchIssueCredentialsRequest{Requests: own, RequestId: "own"})
	again, err2 := issue(&apiv1.BatchIssueCredentialsRequest{Requests: own, RequestId: "own"})
	if err := errors.Join(err1, err2); err != nil || once[0].GetJwt() != again[0].GetJwt() || once[0].GetCredsFile() != "" || count() != 31 {
		t.Errorf("replayed: %v, %d credentials", err, count())
	}

	revoke := func(requests []*apiv1.RevokeCredentialRequest) error {
		_, err := owner.credentials.BatchRevokeCredentials(ctx, &apiv1.BatchRevokeCredentialsRequest{Parent: acmeAccount, Requests: requests})
		return err
	}
	stale := append(revokes(once...), &apiv1.RevokeCredentialRequest{Name: names[0] + "/credentials/crd_none"})
	wantError(t, revoke(stale), errs.NotFound, "RESOURCE_NOT_FOUND")
	stale = append(revokes(once...), revokes(once...)...)
	wantError(t, revoke(stale), errs.Invalid, "INVALID_FIELD")
	stale = revokes(once...)
	stale[0].Etag = `"1"`
	wantError(t, revoke(stale), errs.Conflict, "STALE_ETAG")
	got := must[*apiv1.GetCredentialResponse](t, "get")(owner.credentials.GetCredential(ctx, &apiv1.GetCredentialRequest{Name: once[0].GetCredential().GetName()}))
	if got.GetCredential().GetState() != apiv1.Credential_STATE_ACTIVE {
		t.Errorf("a batch that was refused left %v", got.GetCredential())
	}
}

func TestUsersChangeInBatches(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	names := crew(t, owner, 50)
	j := p.broker(t)
	cred := owner.issue(t, names[4])
	eventually(t, func() bool {
		c, err := j.connect(t, cred.GetCredsFile())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	change := func(name string, rules *apiv1.Permissions, paths ...string) *apiv1.UpdateUserRequest {
		return &apiv1.UpdateUserRequest{User: &apiv1.User{Name: name, DisplayName: "new", Permissions: rules}, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}}
	}
	req := &apiv1.BatchUpdateUsersRequest{Parent: acmeAccount, RequestId: "change"}
	for _, n := range names {
		req.Requests = append(req.Requests, change(n, nil, "display_name"))
	}
	rules := &apiv1.Permissions{Publish: &apiv1.SubjectRules{Allow: []string{"only.this"}}, Subscribe: &apiv1.SubjectRules{Allow: []string{"_INBOX.>"}}}
	req.Requests[4] = change(names[4], rules, "permissions")
	// As long as one of them cannot be changed, none is.
	bad := &apiv1.BatchUpdateUsersRequest{Parent: acmeAccount, Requests: append(slices.Clone(req.GetRequests()[:9]), change(acmeAccount+"/users/nobody", nil, "display_name"))}
	_, err := owner.users.BatchUpdateUsers(ctx, bad)
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
	if u := must[*apiv1.GetUserResponse](t, "get")(owner.users.GetUser(ctx, &apiv1.GetUserRequest{Name: names[0]})).GetUser(); u.GetDisplayName() != "crew-00" {
		t.Errorf("a batch that was refused left %v", u)
	}
	resp := must[*apiv1.BatchUpdateUsersResponse](t, "change")(owner.users.BatchUpdateUsers(ctx, req))
	if resp.GetRevokedCredentials() != 1 || resp.GetOperation() == nil || len(resp.GetUsers()) != 50 || resp.GetUsers()[49].GetDisplayName() != "new" {
		t.Errorf("answer %v", resp)
	}
	j.settle(t, owner, acmeAccount, resp.GetOperation())
	j.wantRefused(t, cred.GetCredsFile(), "it may do other things now")
	if targets, _ := audited(t, owner, "BatchUpdateUsers"); !slices.Equal(targets, names) {
		t.Errorf("the audit log says %v", targets)
	}
	if again := must[*apiv1.BatchUpdateUsersResponse](t, "again")(owner.users.BatchUpdateUsers(ctx, req)); again.GetOperation().GetName() != resp.GetOperation().GetName() {
		t.Errorf("the same request is answered with %v", again.GetOperation())
	}
	stale := change(names[1], nil, "display_name")
	stale.User.Etag = `"1"`
	_, err = owner.users.BatchUpdateUsers(ctx, &apiv1.BatchUpdateUsersRequest{Parent: acmeAccount, Requests: []*apiv1.UpdateUserRequest{stale}})
	wantError(t, err, errs.Conflict, "STALE_ETAG")
}

// Who may act on one account may not act on another by way of a batch.
func TestABatchStaysInItsAccount(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	must[*apiv1.CreateAccountResponse](t, "account")(owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: acme, AccountId: "other"}))
	other := acme + "/accounts/other"
	must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: other, UserId: "till"}))
	theirs := owner.issue(t, other+"/users/till")
	must[*apiv1.CreateServiceAccountResponse](t, "service account")(owner.services.CreateServiceAccount(ctx, &apiv1.CreateServiceAccountRequest{
		Parent: acme, ServiceAccountId: "ci", ServiceAccount: &apiv1.ServiceAccount{RoleBindings: []*apiv1.RoleBinding{{Role: "developer", Account: acmeAccount}}},
	}))
	key := must[*apiv1.CreateAPIKeyResponse](t, "key")(owner.keys.CreateAPIKey(ctx, &apiv1.CreateAPIKeyRequest{Parent: acme + "/serviceAccounts/ci"}))
	ci := p.as(t, key.GetSecret())
	if _, err := ci.credentials.BatchIssueCredentials(ctx, &apiv1.BatchIssueCredentialsRequest{Parent: acmeAccount, Requests: issues(acmeUser)}); err != nil {
		t.Errorf("on its own account: %v", err)
	}
	_, err := ci.credentials.BatchIssueCredentials(ctx, &apiv1.BatchIssueCredentialsRequest{Parent: acmeAccount, Requests: issues(acmeUser, other+"/users/till")})
	wantError(t, err, errs.Invalid, "INVALID_NAME")
	_, err = ci.credentials.BatchRevokeCredentials(ctx, &apiv1.BatchRevokeCredentialsRequest{Parent: acmeAccount, Requests: revokes(theirs)})
	wantError(t, err, errs.Invalid, "INVALID_NAME")
	_, err = ci.users.BatchUpdateUsers(ctx, &apiv1.BatchUpdateUsersRequest{Parent: acmeAccount, Requests: []*apiv1.UpdateUserRequest{
		{User: &apiv1.User{Name: other + "/users/till"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}}},
	}})
	wantError(t, err, errs.Invalid, "INVALID_NAME")
	_, err = ci.credentials.BatchIssueCredentials(ctx, &apiv1.BatchIssueCredentialsRequest{Parent: other, Requests: issues(other + "/users/till")})
	if err == nil {
		t.Error("a stranger to the account issues")
	}
}
