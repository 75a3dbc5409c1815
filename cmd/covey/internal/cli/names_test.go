package cli

import (
	"strings"
	"testing"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
)

func TestShortIDsAreCompletedFromTheContext(t *testing.T) {
	c := &contexts.Context{Organization: "acme", Account: "default", User: "admin"}
	for _, tc := range []struct {
		flags scope
		get   func(scope) (string, error)
		want  string // empty: refused
	}{
		{scope{}, func(s scope) (string, error) { return s.accountName("orders") }, "organizations/acme/accounts/orders"},
		{scope{org: "globex"}, func(s scope) (string, error) { return s.accountName("orders") }, "organizations/globex/accounts/orders"},
		{scope{}, func(s scope) (string, error) { return s.userName("u") }, "organizations/acme/accounts/default/users/u"},
		{scope{account: "orders"}, func(s scope) (string, error) { return s.userName("u") }, "organizations/acme/accounts/orders/users/u"},
		{scope{}, scope.defaultUser, "organizations/acme/accounts/default/users/admin"},
		{scope{account: "orders"}, scope.defaultUser, ""},
		{scope{org: "globex"}, scope.defaultAccount, ""},
		{scope{}, func(s scope) (string, error) { return s.accountName("organizations/x/accounts/y") }, "organizations/x/accounts/y"},
		{scope{}, func(s scope) (string, error) { return s.accountName("organizations/x/accounts/y/users/z") }, ""},
		{scope{}, func(s scope) (string, error) { return s.operationName("op") }, "organizations/acme/operations/op"},
	} {
		s, err := scopeOf(c, tc.flags)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tc.get(s)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%+v: %q, %v; want %q", tc.flags, got, err, tc.want)
		}
	}
}

// FuzzFullName holds that an id never changes the shape of the name it is put
// into: whoever types it stays inside the parent.
func FuzzFullName(f *testing.F) {
	for _, id := range []string{"orders", "", "../x", "a/b", "organizations/x", "organizations/x/accounts/y", "a:suspend", "organizations//accounts/"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		name, err := fullName(id, segAccounts, "organizations/acme", "account")
		if err != nil {
			return
		}
		parts := strings.Split(name, "/")
		if len(parts)%2 != 0 || parts[len(parts)-2] != segAccounts || lastSegment(name) == "" {
			t.Errorf("%q became %q", id, name)
		}
		if !isFull(id) && (!strings.HasPrefix(name, "organizations/acme/accounts/") || len(parts) != 4) {
			t.Errorf("%q left its parent: %q", id, name)
		}
		if parent, last := splitName(name); parent+"/"+segAccounts+"/"+last != name {
			t.Errorf("splitName(%q) = %q, %q", name, parent, last)
		}
	})
}
