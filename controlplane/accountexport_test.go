package controlplane_test

import (
	"strings"
	"testing"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// Seeds leave once for one request, not for a dry run, and never into the log;
// pages hold all users, and whoever is suspended gets no JWT that would let it in.
func TestExportAccountHandsSeedsOutOnce(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	for _, id := range []string{"ann", "bob"} {
		name := must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: id})).GetUser().GetName()
		owner.issue(t, name)
	}
	must[*apiv1.SuspendUserResponse](t, "suspend")(owner.users.SuspendUser(ctx, &apiv1.SuspendUserRequest{Name: acmeAccount + "/users/bob"}))
	export := must[*apiv1.ExportAccountResponse](t, "export")
	if dry := export(owner.accounts.ExportAccount(ctx, &apiv1.ExportAccountRequest{Name: acmeAccount, ValidateOnly: true})); len(dry.GetKeys())+len(dry.GetUsers()) != 0 {
		t.Errorf("a dry run hands out %v", dry)
	}
	req := &apiv1.ExportAccountRequest{Name: acmeAccount, PageSize: 2, RequestId: "one", Reason: "leaving"}
	first := export(owner.accounts.ExportAccount(ctx, req))
	_, err := owner.accounts.ExportAccount(ctx, req)
	wantError(t, err, errs.Precondition, "SECRET_ALREADY_DELIVERED")
	second := export(owner.accounts.ExportAccount(ctx, &apiv1.ExportAccountRequest{Name: acmeAccount, PageSize: 2, PageToken: first.GetNextPageToken()}))
	if len(first.GetKeys()) != 3 || len(second.GetKeys()) != 0 || second.GetNextPageToken() != "" {
		t.Errorf("%d keys, then %d", len(first.GetKeys()), len(second.GetKeys()))
	}
	for _, k := range first.GetKeys() {
		seed, err := accounts.ParseSeed([]byte(k.GetSeed()))
		if err != nil {
			t.Fatal(err)
		}
		if public, _ := seed.PublicKey(); public != k.GetPublicKey() {
			t.Errorf("the seed of %s is that of %s", k.GetPublicKey(), public)
		}
		if strings.Contains(p.log.String(), k.GetSeed()) {
			t.Error("a seed is in the log")
		}
	}
	var said []string
	for _, u := range append(first.GetUsers(), second.GetUsers()...) {
		word := " with a JWT"
		if u.GetJwt() == "" {
			word = " without"
		}
		said = append(said, u.GetUserId()+word)
	}
	if got, want := strings.Join(said, ", "), "ann with a JWT, bob without, default with a JWT"; got != want {
		t.Errorf("users are %s, want %s", got, want)
	}
}
