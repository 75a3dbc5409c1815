package controlplane_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// A batch that stops says where, and the same call goes on behind what is made.
func TestABatchOfAccountsGoesOnWhereItStopped(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	p.signUp(t, "globex")
	ctx := t.Context()
	const all = 120
	req := &apiv1.BatchCreateAccountsRequest{Parent: "organizations/acme", RequestId: "batch"}
	get := &apiv1.BatchGetAccountsRequest{Parent: "organizations/acme"}
	for i := range all {
		id := fmt.Sprintf("shop-%03d", i)
		req.Accounts = append(req.Accounts, &apiv1.NewAccount{AccountId: id, Account: &apiv1.Account{DisplayName: id}})
		get.Names = append(get.Names, "organizations/acme/accounts/"+id)
	}
	inTheWay := must[*apiv1.CreateAccountResponse](t, "make one")(owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: "shop-077"}))
	_, err := owner.accounts.BatchCreateAccounts(ctx, req)
	wantError(t, err, errs.Exists, "ACCOUNT_EXISTS")
	if text := err.Error(); !strings.Contains(text, "account 78 of 120") || !strings.Contains(text, "shop-077") {
		t.Errorf("it stopped with %q", text)
	}
	_, err = owner.accounts.BatchGetAccounts(ctx, get)
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")

	other := proto.Clone(req).(*apiv1.BatchCreateAccountsRequest)
	other.Accounts[3].Account.DisplayName = "another"
	_, err = owner.accounts.BatchCreateAccounts(ctx, other)
	wantError(t, err, errs.Conflict, "REQUEST_ID_REUSED")

	req.Accounts[77].AccountId = "shop-777"
	get.Names[77] = "organizations/acme/accounts/shop-777"
	made := must[*apiv1.BatchCreateAccountsResponse](t, "go on")(owner.accounts.BatchCreateAccounts(ctx, req))
	read := must[*apiv1.BatchGetAccountsResponse](t, "get")(owner.accounts.BatchGetAccounts(ctx, get))
	if len(made.GetAccounts()) != all || len(read.GetAccounts()) != all {
		t.Fatalf("%d made, %d read, want %d", len(made.GetAccounts()), len(read.GetAccounts()), all)
	}
	for i, a := range read.GetAccounts() {
		if a.GetName() != get.GetNames()[i] || made.GetAccounts()[i].GetUid() != a.GetUid() || a.GetEtag() == "" || a.GetRevision() == 0 {
			t.Errorf("made %v, read %v", made.GetAccounts()[i], a)
		}
	}
	if last := read.GetAccounts()[all-1]; made.GetOperation().GetRevision() != last.GetRevision() || inTheWay.GetAccount().GetUid() == read.GetAccounts()[77].GetUid() {
		t.Errorf("the operation is of revision %d, the last account of %d", made.GetOperation().GetRevision(), last.GetRevision())
	}
}

func TestBatchesOfAccountsThatAreRefused(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	p.signUp(t, "globex")
	ctx := t.Context()
	one := func(id string) *apiv1.NewAccount { return &apiv1.NewAccount{AccountId: id} }
	batch := func(request string, all ...*apiv1.NewAccount) *apiv1.BatchCreateAccountsRequest {
		return &apiv1.BatchCreateAccountsRequest{Parent: "organizations/acme", RequestId: request, Accounts: all}
	}
	_, err := owner.accounts.BatchCreateAccounts(ctx, batch("r", one("twice"), one("twice")))
	wantError(t, err, errs.Invalid, "INVALID_FIELD")
	_, err = owner.accounts.BatchCreateAccounts(ctx, batch("", one("once")))
	wantError(t, err, errs.Invalid, "INVALID_FIELD")
	_, err = owner.accounts.BatchCreateAccounts(ctx, batch("r", make([]*apiv1.NewAccount, 1001)...))
	wantError(t, err, errs.Invalid, "INVALID_FIELD")
	_, err = owner.accounts.BatchGetAccounts(ctx, &apiv1.BatchGetAccountsRequest{Parent: "organizations/acme", Names: []string{globexAccount}})
	wantError(t, err, errs.Invalid, "INVALID_NAME")
	dry := batch("dry", one("never"))
	dry.ValidateOnly = true
	must[*apiv1.BatchCreateAccountsResponse](t, "dry run")(owner.accounts.BatchCreateAccounts(ctx, dry))
	_, err = owner.accounts.BatchGetAccounts(ctx, &apiv1.BatchGetAccountsRequest{Parent: "organizations/acme", Names: []string{"organizations/acme/accounts/never"}})
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
}

func TestAccountsAreChangedInBatches(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	p.signUp(t, "globex")
	ctx := t.Context()
	names := make([]string, 3)
	for i := range names {
		names[i] = must[*apiv1.CreateAccountResponse](t, "make")(owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: fmt.Sprint("shop-", i)})).GetAccount().GetName()
	}
	change := func(name string, connections int64) *apiv1.UpdateAccountRequest {
		return &apiv1.UpdateAccountRequest{
			Account:    &apiv1.Account{Name: name, Limits: &apiv1.Limits{Connections: &connections}},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"limits.connections"}},
		}
	}
	batch := func(request string, all ...*apiv1.UpdateAccountRequest) *apiv1.BatchUpdateAccountsRequest {
		return &apiv1.BatchUpdateAccountsRequest{Parent: "organizations/acme", RequestId: request, Requests: all}
	}
	stale := change(names[1], 20)
	stale.Account.Etag = "1"
	_, err := owner.accounts.BatchUpdateAccounts(ctx, batch("b", change(names[0], 10), stale, change(names[2], 30)))
	wantError(t, err, errs.Conflict, "STALE_ETAG")
	if !strings.Contains(err.Error(), "account 2 of 3") {
		t.Errorf("it stopped with %q", err)
	}
	done := must[*apiv1.BatchUpdateAccountsResponse](t, "go on")(owner.accounts.BatchUpdateAccounts(ctx, batch("b", change(names[0], 10), change(names[1], 20), change(names[2], 30))))
	read := must[*apiv1.BatchGetAccountsResponse](t, "get")(owner.accounts.BatchGetAccounts(ctx, &apiv1.BatchGetAccountsRequest{Parent: "organizations/acme", Names: names}))
	for i, a := range read.GetAccounts() {
		if a.GetLimits().GetConnections() != int64(i+1)*10 || done.GetAccounts()[i].GetRevision() != a.GetRevision() {
			t.Errorf("account %d: changed to %v, read %v", i, done.GetAccounts()[i], a)
		}
	}
	if done.GetOperation().GetRevision() != read.GetAccounts()[2].GetRevision() {
		t.Errorf("the operation is of revision %d, want that of the last", done.GetOperation().GetRevision())
	}
	own := change(names[0], 1)
	own.RequestId = "mine"
	for _, tt := range []struct {
		req    *apiv1.BatchUpdateAccountsRequest
		reason string
	}{
		{batch("x", change(globexAccount, 1)), "INVALID_NAME"},
		{batch("x", change(names[0], 1), change(names[0], 2)), "INVALID_FIELD"},
		{batch("x", own), "INVALID_FIELD"},
		{batch("", change(names[0], 1)), "INVALID_FIELD"},
	} {
		_, err := owner.accounts.BatchUpdateAccounts(ctx, tt.req)
		wantError(t, err, errs.Invalid, tt.reason)
	}
}
