package controlplane_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type watcher struct {
	t      *testing.T
	stream grpc.ServerStreamingClient[apiv1.WatchResourcesResponse]
}

func (c *caller) watch(t *testing.T, parent, bookmark string, kinds ...string) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stream, err := c.watches.WatchResources(ctx, &apiv1.WatchResourcesRequest{Parent: parent, Bookmark: bookmark, Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	return &watcher{t: t, stream: stream}
}

// until reads changes up to the next bookmark that has any, or, if empty is
// true, to the next bookmark.
func (w *watcher) until(empty bool) (changes []*apiv1.ResourceChange, bookmark string, reset bool) {
	w.t.Helper()
	for {
		event, err := w.stream.Recv()
		if err != nil {
			w.t.Fatalf("watch: %v", err)
		}
		switch e := event.GetEvent().(type) {
		case *apiv1.WatchResourcesResponse_Change:
			changes = append(changes, e.Change)
		case *apiv1.WatchResourcesResponse_Reset_:
			reset = true
		case *apiv1.WatchResourcesResponse_Bookmark:
			if empty || len(changes) > 0 {
				return changes, e.Bookmark, reset
			}
		}
	}
}

func names(changes []*apiv1.ResourceChange) string {
	var all []string
	for _, c := range changes {
		name := strings.TrimPrefix(c.GetName(), acme+"/")
		if c.GetDeleted() {
			name += " gone"
		}
		all = append(all, name)
	}
	return strings.Join(all, ", ")
}

func TestAWatchTellsWhatIsThereAndWhatChanges(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	_, other := p.signUp(t, "globex")
	ctx := t.Context()
	w := owner.watch(t, acme, "", "accounts", "users", "roles", "members", "serviceAccounts")
	first, _, reset := w.until(true)
	if got := names(first); reset || got != "accounts/default/roles/default, accounts/default/users/default, accounts/default, serviceAccounts/owner" {
		t.Errorf("at first %s", got)
	}
	must[*apiv1.CreateUserResponse](t, "foreign")(other.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: globexAccount, UserId: "spy"}))
	made := must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: "shop"})).GetUser()
	changes, bookmark, _ := w.until(false)
	if len(changes) != 1 || !proto.Equal(changes[0].GetUser(), made) {
		t.Errorf("a user is told as %v, made %v", changes, made)
	}
	must[*apiv1.UpdateAccountResponse](t, "update")(owner.accounts.UpdateAccount(ctx, &apiv1.UpdateAccountRequest{
		Account: &apiv1.Account{Name: acmeAccount, DisplayName: "Shop"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}},
	}))
	must[*apiv1.DeleteUserResponse](t, "delete")(owner.users.DeleteUser(ctx, &apiv1.DeleteUserRequest{Name: made.GetName()}))
	changes, _, _ = w.until(false)
	more, last, _ := w.until(false)
	if got := names(append(changes, more...)); got != "accounts/default, accounts/default/users/shop gone" || changes[0].GetAccount().GetDisplayName() != "Shop" {
		t.Errorf("then %s", got)
	}
	// Whoever comes back misses nothing, and gets nothing twice.
	again, _, reset := owner.watch(t, acme, bookmark, "accounts", "users").until(false)
	if got := names(again); reset || !strings.HasPrefix(got, "accounts/default") {
		t.Errorf("back at %s: %s", bookmark, got)
	}
	must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: "late"}))
	late, _, _ := owner.watch(t, acme, last).until(false)
	if got := names(late); got != "accounts/default/users/late" {
		t.Errorf("back at the end: %s", got)
	}
	for text, want := range map[string]string{"x": "INVALID_FIELD", "0": "INVALID_BOOKMARK", "1" + strings.Repeat("0", 18): ""} {
		stream := owner.watch(t, acme, text).stream
		event, err := stream.Recv()
		if want != "" {
			wantError(t, err, errs.Invalid, want)
		} else if err != nil || !event.GetReset_() {
			t.Errorf("a bookmark of a future that never was: %v, %v", event, err)
		}
	}
}

func TestAWatchOutlivesCompaction(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	_, bookmark, _ := owner.watch(t, acme, "", "users").until(true)
	for _, id := range []string{"aa", "bb"} {
		must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: id}))
	}
	_, now, _ := owner.watch(t, acme, "", "users").until(true)
	revision, err := strconv.ParseInt(now, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := controlplane.Compact(ctx, p.Server, revision); err != nil {
		t.Fatal(err)
	}
	w := owner.watch(t, acme, bookmark, "users")
	changes, _, reset := w.until(false)
	if got := names(changes); !reset || got != "accounts/default/users/aa, accounts/default/users/bb, accounts/default/users/default" {
		t.Errorf("after compaction: reset %v, %s", reset, got)
	}
	must[*apiv1.DeleteUserResponse](t, "delete")(owner.users.DeleteUser(ctx, &apiv1.DeleteUserRequest{Name: acmeAccount + "/users/aa"}))
	if changes, _, _ = w.until(false); names(changes) != "accounts/default/users/aa gone" {
		t.Errorf("and then %s", names(changes))
	}
}

func TestAWatchShowsOnlyWhatItsCallerMayRead(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	_, other := p.signUp(t, "globex")
	owner.newAccount(t, acme, "shop")
	_, _, billing := p.serviceAccount(t, owner, "money", &apiv1.RoleBinding{Role: "billing"})
	_, _, narrow := p.serviceAccount(t, owner, "narrow", &apiv1.RoleBinding{Role: "admin", Account: acmeShop})
	all, _, _ := billing.watch(t, acme, "").until(true)
	for _, c := range all {
		if c.GetAccount() == nil && c.GetMember() == nil {
			t.Errorf("billing is told of %s", c.GetName())
		}
	}
	all, _, _ = narrow.watch(t, acmeShop, "").until(true)
	if len(all) < 4 {
		t.Errorf("an admin of one account is told of %s only", names(all))
	}
	for _, c := range all {
		if !strings.HasPrefix(c.GetName(), acmeShop) {
			t.Errorf("an admin of one account is told of %s", c.GetName())
		}
	}
	for name, f := range map[string]struct {
		by     *caller
		parent string
		kinds  []string
		code   errs.Code
		reason string
	}{
		"another account":      {narrow, acmeAccount, nil, errs.NotFound, "RESOURCE_NOT_FOUND"},
		"the organization":     {narrow, acme, nil, errs.Denied, "ROLE_DENIED"},
		"a kind":               {billing, acme, []string{"users"}, errs.Denied, "ROLE_DENIED"},
		"foreign":              {other, acme, nil, errs.NotFound, "RESOURCE_NOT_FOUND"},
		"absent":               {owner, acme + "/accounts/nobody", nil, errs.NotFound, "RESOURCE_NOT_FOUND"},
		"not of an account":    {owner, acmeShop, []string{"members"}, errs.Invalid, "INVALID_FIELD"},
		"an unknown kind":      {owner, acme, []string{"secrets"}, errs.Invalid, "INVALID_FIELD"},
		"without a key at all": {p.as(t, ""), acme, nil, errs.Unauthenticated, "API_KEY_MISSING"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.by.watch(t, f.parent, "", f.kinds...).stream.Recv()
			wantError(t, err, f.code, f.reason)
		})
	}
	// A control plane that goes away tells its watchers, and does not wait.
	w := owner.watch(t, acme, "")
	w.until(true)
	p.stop()
	if _, err := w.stream.Recv(); err == nil {
		t.Error("a watch outlives its control plane")
	}
}
