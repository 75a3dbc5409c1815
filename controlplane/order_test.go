package controlplane_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// A list comes in other orders, too, in pages that belong to that order and to
// nothing else.
func TestListsComeInOtherOrders(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	req := &apiv1.BatchCreateUsersRequest{Parent: acmeAccount}
	for i := range 40 {
		req.Users = append(req.Users, &apiv1.NewUser{UserId: fmt.Sprintf("u%02d", i), User: &apiv1.User{DisplayName: fmt.Sprintf("group %d", i%4)}})
	}
	must[*apiv1.BatchCreateUsersResponse](t, "users")(owner.users.BatchCreateUsers(ctx, req))
	list := func(order, filter string, size int32) (all []*apiv1.User, tokens []string) {
		t.Helper()
		r := &apiv1.ListUsersRequest{Parent: acmeAccount, OrderBy: order, Filter: filter, PageSize: size}
		for {
			page := must[*apiv1.ListUsersResponse](t, order)(owner.users.ListUsers(ctx, r))
			all = append(all, page.GetUsers()...)
			if len(page.GetUsers()) > int(size) {
				t.Fatalf("a page of %d", len(page.GetUsers()))
			}
			if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
				return all, tokens
			}
			tokens = append(tokens, r.PageToken)
		}
	}
	plain, plainTokens := list("", "", 7)
	if len(plain) != 41 {
		t.Fatalf("%d users", len(plain))
	}
	by := func(compare func(a, b *apiv1.User) int) []*apiv1.User {
		want := slices.Clone(plain)
		slices.SortFunc(want, func(a, b *apiv1.User) int {
			if c := compare(a, b); c != 0 {
				return c
			}
			return strings.Compare(a.GetName(), b.GetName())
		})
		return want
	}
	display := func(a, b *apiv1.User) int { return strings.Compare(a.GetDisplayName(), b.GetDisplayName()) }
	name := func(a, b *apiv1.User) int { return strings.Compare(a.GetName(), b.GetName()) }
	for order, want := range map[string][]*apiv1.User{
		"name":                 plain,
		"name asc":             plain,
		"name desc":            by(func(a, b *apiv1.User) int { return -name(a, b) }),
		"display_name":         by(display),
		" display_name   desc": by(func(a, b *apiv1.User) int { return -display(a, b) }),
		"display_name, name desc": by(func(a, b *apiv1.User) int {
			if c := display(a, b); c != 0 {
				return c
			}
			return -name(a, b)
		}),
		"state desc, create_time": by(func(a, b *apiv1.User) int { return a.GetCreateTime().AsTime().Compare(b.GetCreateTime().AsTime()) }),
	} {
		got, _ := list(order, "", 7)
		if !slices.EqualFunc(got, want, func(a, b *apiv1.User) bool { return a.GetName() == b.GetName() }) {
			t.Errorf("%s: %d users, want %d in another order", order, len(got), len(want))
		}
	}
	filtered, _ := list("display_name desc", `display_name = "group 1" OR display_name = "group 3"`, 3)
	if len(filtered) != 20 || filtered[0].GetDisplayName() != "group 3" || filtered[19].GetDisplayName() != "group 1" {
		t.Errorf("filtered: %v", filtered)
	}

	_, tokens := list("display_name", "", 7)
	for what, r := range map[string]*apiv1.ListUsersRequest{
		"another order's":  {OrderBy: "display_name desc", PageToken: tokens[0]},
		"the plain list's": {OrderBy: "display_name", PageToken: plainTokens[0]},
		"with no order":    {PageToken: tokens[0]},
		"with a filter":    {OrderBy: "display_name", Filter: "state = ACTIVE", PageToken: tokens[0]},
		"made up":          {OrderBy: "display_name", PageToken: "b3JkZXIve30"},
	} {
		r.Parent = acmeAccount
		_, err := owner.users.ListUsers(ctx, r)
		t.Run(what, func(t *testing.T) { wantError(t, err, errs.Invalid, "INVALID_PAGE_TOKEN") })
	}
	// A page goes on where the last one ended, although the last of it is gone.
	first := must[*apiv1.ListUsersResponse](t, "first")(owner.users.ListUsers(ctx, &apiv1.ListUsersRequest{Parent: acmeAccount, OrderBy: "name desc", PageSize: 5}))
	must[*apiv1.DeleteUserResponse](t, "delete")(owner.users.DeleteUser(ctx, &apiv1.DeleteUserRequest{Name: first.GetUsers()[4].GetName()}))
	second := must[*apiv1.ListUsersResponse](t, "second")(owner.users.ListUsers(ctx, &apiv1.ListUsersRequest{Parent: acmeAccount, OrderBy: "name desc", PageSize: 5, PageToken: first.GetNextPageToken()}))
	if second.GetUsers()[0].GetName() != acmeAccount+"/users/u34" {
		t.Errorf("the second page begins with %v", second.GetUsers()[0])
	}
	for _, order := range []string{"nonsense", "permissions", "etag", "name up", "name,", "name, name desc", "name desc, state, role, uid", "limits.connections"} {
		_, err := owner.users.ListUsers(ctx, &apiv1.ListUsersRequest{Parent: acmeAccount, OrderBy: order})
		e := wantError(t, err, errs.Invalid, "INVALID_ORDER")
		if order == "nonsense" && !strings.Contains(e.Next, "display_name") {
			t.Errorf("next: %q", e.Next)
		}
	}
}

// Which order costs nothing is true of each list that says so.
func TestAListsOwnOrderIsWhatItSays(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	for range 5 {
		owner.issue(t, acmeUser)
	}
	for _, id := range []string{"zeta", "alpha", "mid"} {
		must[*apiv1.CreateAccountResponse](t, "account")(owner.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: acme, AccountId: id}))
	}
	creds := func(order string) (names []string) {
		for _, c := range must[*apiv1.ListCredentialsResponse](t, order)(owner.credentials.ListCredentials(ctx, &apiv1.ListCredentialsRequest{Parent: acmeUser, OrderBy: order})).GetCredentials() {
			names = append(names, c.GetName())
		}
		return names
	}
	if natural := creds("issue_time desc"); !slices.Equal(natural, creds("")) || len(natural) != 6 {
		t.Errorf("credentials: %v", natural)
	}
	if oldest, newest := creds("uid"), creds("uid desc"); !slices.Equal(newest, creds("")) || oldest[0] != newest[5] {
		t.Errorf("credentials: %v, %v", oldest, newest)
	}
	accounts := func(order string) (names []string) {
		for _, a := range must[*apiv1.ListAccountsResponse](t, order)(owner.accounts.ListAccounts(ctx, &apiv1.ListAccountsRequest{Parent: acme, OrderBy: order})).GetAccounts() {
			names = append(names, a.GetName())
		}
		return names
	}
	if !slices.IsSorted(accounts("")) || !slices.Equal(accounts("name"), accounts("")) || accounts("name desc")[0] != acme+"/accounts/zeta" {
		t.Errorf("accounts: %v", accounts(""))
	}
	// A deleted one is in no list that does not ask for it, in whatever order.
	must[*apiv1.DeleteAccountResponse](t, "delete")(owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: acme + "/accounts/zeta"}))
	if accounts("name desc")[0] == acme+"/accounts/zeta" {
		t.Error("a deleted account is listed")
	}
	shown := must[*apiv1.ListAccountsResponse](t, "deleted")(owner.accounts.ListAccounts(ctx, &apiv1.ListAccountsRequest{Parent: acme, OrderBy: "delete_time desc", ShowDeleted: true}))
	if len(shown.GetAccounts()) != 4 || shown.GetAccounts()[0].GetName() != acme+"/accounts/zeta" {
		t.Errorf("the deleted ones first: %v", shown.GetAccounts())
	}
}

// More than a page is not put in order: each page would cost as much as the list.
func TestALongListIsServedInItsOwnOrderOnly(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	for batch := range 20 {
		req := &apiv1.BatchCreateUsersRequest{Parent: acmeAccount}
		for i := range 50 {
			req.Users = append(req.Users, &apiv1.NewUser{UserId: fmt.Sprintf("u%02d-%02d", batch, i)})
		}
		must[*apiv1.BatchCreateUsersResponse](t, "users")(owner.users.BatchCreateUsers(t.Context(), req))
	}
	for _, order := range []string{"create_time", "name desc"} {
		_, err := owner.users.ListUsers(t.Context(), &apiv1.ListUsersRequest{Parent: acmeAccount, OrderBy: order, Filter: "state = SUSPENDED"})
		wantError(t, err, errs.Exhausted, "LIST_TOO_LONG")
	}
	resp := must[*apiv1.ListUsersResponse](t, "own order")(owner.users.ListUsers(t.Context(), &apiv1.ListUsersRequest{Parent: acmeAccount, OrderBy: "name", PageSize: 1000}))
	if len(resp.GetUsers()) != 1000 || resp.GetNextPageToken() == "" {
		t.Errorf("%d users", len(resp.GetUsers()))
	}
}
