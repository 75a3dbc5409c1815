package api

import (
	"context"
	"slices"
	"time"

	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// watchKind is a kind of resource that is watched.
type watchKind struct {
	collection string // as callers name it
	segment    string // as the store's keys do
	depth      int    // ids in a key
	ofAccount  bool   // the first id is an account's
	method     string // that reads one: whoever may call it may watch
	name       func(organization string, ids []string) string
	// get reads one as it is now.
	get func(ctx context.Context, w *watch, v *store.View, ids []string, into *apiv1.ResourceChange) error
	// list reads the ids of all: of an account, if the kind is of accounts.
	list func(ctx context.Context, v *store.View, account string, p store.Page) (ids [][]string, next string, err error)
}

// each tells of every resource of the kind.
func (k *watchKind) each(ctx context.Context, w *watch, v *store.View, tell func(*apiv1.ResourceChange) error) error {
	parents := []string{w.name.account}
	if k.ofAccount && w.name.account == "" {
		all, err := idsOf(func(p store.Page) ([][]string, string, error) { return listAccounts(ctx, v, "", p) })
		if err != nil {
			return err
		}
		parents = nil
		for _, ids := range all {
			parents = append(parents, ids[0])
		}
	}
	for _, parent := range parents {
		all, err := idsOf(func(p store.Page) ([][]string, string, error) { return k.list(ctx, v, parent, p) })
		if err != nil {
			return err
		}
		for _, ids := range all {
			change := &apiv1.ResourceChange{Name: k.name(v.Organization(), ids)}
			if err := k.get(ctx, w, v, ids, change); err != nil {
				return err
			}
			if err := tell(change); err != nil {
				return err
			}
		}
	}
	return nil
}

// idsOf reads every page.
func idsOf(read func(store.Page) ([][]string, string, error)) ([][]string, error) {
	var all [][]string
	p := store.Page{Size: 1000}
	for {
		part, next, err := read(p)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
		if next == "" {
			return all, nil
		}
		p.After = next
	}
}

func listAccounts(ctx context.Context, v *store.View, _ string, p store.Page) ([][]string, string, error) {
	list, next, err := v.Accounts(ctx, p)
	return idsBy(list, func(a store.Account) []string { return []string{a.ID} }), next, err
}

func idsBy[T any](list []T, ids func(T) []string) [][]string {
	var all [][]string
	for _, x := range list {
		all = append(all, ids(x))
	}
	return all
}

// watchedKinds returns the kinds that a caller wants, or all that it may read.
func watchedKinds(p authn.Principal, n name, wanted []string) ([]*watchKind, error) {
	var kinds []*watchKind
	all := watchKinds()
	asked := map[string]bool{}
	for _, w := range wanted {
		asked[w] = true
	}
	for _, k := range all {
		if len(asked) > 0 && !asked[k.collection] {
			continue
		}
		reads := authz.Decide(p, k.method, authz.Target{Organization: n.organization, Account: n.account}) == authz.Allowed
		inside := n.account == "" || k.ofAccount
		switch {
		case reads && inside:
			kinds = append(kinds, k)
		case asked[k.collection] && !inside:
			return nil, errs.New(errs.Invalid, "INVALID_FIELD", "kinds: %s are not of an account", k.collection).WithField("kinds")
		case asked[k.collection]:
			return nil, errs.New(errs.Denied, "ROLE_DENIED", "an API key with the role %q may not read %s", p.Roles(), k.collection).
				WithNext("ask an owner of the organization")
		}
	}
	return kinds, nil
}

func watchKinds() []*watchKind {
	return slices.Concat(accountKinds(), sharingKinds(), organizationKinds(), alertKinds())
}

func accountKinds() []*watchKind {
	const v1 = "/covey.api.v1."
	return []*watchKind{
		{
			collection: "roles", segment: "role", depth: 2, ofAccount: true, method: v1 + "RoleService/GetRole",
			name: func(o string, ids []string) string { return tenancy.RoleName(o, ids[0], ids[1]) },
			get: func(ctx context.Context, _ *watch, v *store.View, ids []string, into *apiv1.ResourceChange) error {
				r, err := v.Role(ctx, ids[0], ids[1])
				into.Resource = &apiv1.ResourceChange_Role{Role: roleProto(v.Organization(), ids[0], r)}
				return err
			},
			list: func(ctx context.Context, v *store.View, account string, p store.Page) ([][]string, string, error) {
				list, next, err := v.RolePage(ctx, account, p)
				return idsBy(list, func(r store.Role) []string { return []string{account, r.Name} }), next, err
			},
		},
		{
			collection: "users", segment: "user", depth: 2, ofAccount: true, method: v1 + "UserService/GetUser",
			name: func(o string, ids []string) string { return tenancy.UserName(o, ids[0], ids[1]) },
			get: func(ctx context.Context, _ *watch, v *store.View, ids []string, into *apiv1.ResourceChange) error {
				u, err := v.User(ctx, ids[0], ids[1])
				into.Resource = &apiv1.ResourceChange_User{User: userProto(v.Organization(), u)}
				return err
			},
			list: func(ctx context.Context, v *store.View, account string, p store.Page) ([][]string, string, error) {
				list, next, err := v.Users(ctx, account, p)
				return idsBy(list, func(u store.User) []string { return []string{account, u.ID} }), next, err
			},
		},
		{
			collection: "credentials", segment: "cred", depth: 3, ofAccount: true, method: v1 + "CredentialService/ListCredentials",
			name: func(o string, ids []string) string {
				return tenancy.CredentialName(o, store.Credential{Account: ids[0], User: ids[1], ID: ids[2]})
			},
			get: getCredential,
			list: func(ctx context.Context, v *store.View, account string, _ store.Page) ([][]string, string, error) {
				list, err := v.AccountCredentials(ctx, account)
				return idsBy(list, func(c store.Credential) []string { return []string{account, c.User, c.ID} }), "", err
			},
		},
		{
			collection: "accounts", segment: "account", depth: 1, ofAccount: true, method: v1 + "AccountService/GetAccount",
			name: func(o string, ids []string) string { return tenancy.AccountName(o, ids[0]) },
			get: func(ctx context.Context, _ *watch, v *store.View, ids []string, into *apiv1.ResourceChange) error {
				a, err := v.Account(ctx, ids[0])
				into.Resource = &apiv1.ResourceChange_Account{Account: accountProto(v.Organization(), a)}
				return err
			},
			list: func(_ context.Context, _ *store.View, account string, _ store.Page) ([][]string, string, error) {
				return [][]string{{account}}, "", nil
			},
		},
	}
}

func sharingKinds() []*watchKind {
	const v1 = "/covey.api.v1."
	return []*watchKind{
		{
			collection: "exports", segment: "export", depth: 2, ofAccount: true, method: v1 + "ExportService/GetExport",
			name: func(o string, ids []string) string { return tenancy.ExportName(o, ids[0], ids[1]) },
			get: func(ctx context.Context, _ *watch, v *store.View, ids []string, into *apiv1.ResourceChange) error {
				e, err := v.Export(ctx, ids[0], ids[1])
				into.Resource = &apiv1.ResourceChange_Export{Export: exportProto(v.Organization(), e)}
				return err
			},
			list: func(ctx context.Context, v *store.View, account string, p store.Page) ([][]string, string, error) {
				list, next, err := v.Exports(ctx, account, p)
				return idsBy(list, func(e store.Export) []string { return []string{account, e.ID} }), next, err
			},
		},
		{
			collection: "imports", segment: "import", depth: 2, ofAccount: true, method: v1 + "ImportService/GetImport",
			name: func(o string, ids []string) string { return tenancy.ImportName(o, ids[0], ids[1]) },
			get:  getImport,
			list: func(ctx context.Context, v *store.View, account string, p store.Page) ([][]string, string, error) {
				list, next, err := v.Imports(ctx, account, p)
				return idsBy(list, func(i store.Import) []string { return []string{account, i.ID} }), next, err
			},
		},
	}
}

func organizationKinds() []*watchKind {
	const v1 = "/covey.api.v1."
	return []*watchKind{
		{
			collection: "serviceAccounts", segment: "sa", depth: 1, method: v1 + "ServiceAccountService/GetServiceAccount",
			name: func(o string, ids []string) string { return tenancy.ServiceAccountName(o, ids[0]) },
			get: func(ctx context.Context, _ *watch, v *store.View, ids []string, into *apiv1.ResourceChange) error {
				a, err := v.ServiceAccount(ctx, ids[0])
				into.Resource = &apiv1.ResourceChange_ServiceAccount{ServiceAccount: serviceAccountProto(v.Organization(), a)}
				return err
			},
			list: func(ctx context.Context, v *store.View, _ string, p store.Page) ([][]string, string, error) {
				list, next, err := v.ServiceAccounts(ctx, p)
				return idsBy(list, func(a store.ServiceAccount) []string { return []string{a.ID} }), next, err
			},
		},
		{
			collection: "members", segment: "member", depth: 1, method: v1 + "MemberService/GetMember",
			name: func(o string, ids []string) string { return tenancy.MemberName(o, ids[0]) },
			get: func(ctx context.Context, _ *watch, v *store.View, ids []string, into *apiv1.ResourceChange) error {
				m, err := v.Member(ctx, ids[0])
				into.Resource = &apiv1.ResourceChange_Member{Member: memberProto(v.Organization(), m)}
				return err
			},
			list: func(ctx context.Context, v *store.View, _ string, p store.Page) ([][]string, string, error) {
				list, next, err := v.Members(ctx, p)
				return idsBy(list, func(m store.Member) []string { return []string{m.ID} }), next, err
			},
		},
	}
}

func getCredential(ctx context.Context, w *watch, v *store.View, ids []string, into *apiv1.ResourceChange) error {
	c, err := v.Credential(ctx, ids[0], ids[1], ids[2])
	if err != nil {
		return err
	}
	r, err := v.Revocations(ctx, ids[0])
	if err != nil {
		return err
	}
	issuers, err := w.server.tenancy.IssuersOf(ctx, v, ids[0])
	if err != nil {
		return err
	}
	life := issuers.LifeOf(c, r.All(), time.Now())
	into.Resource = &apiv1.ResourceChange_Credential{Credential: credentialProto(v.Organization(), c, life)}
	return nil
}

func getImport(ctx context.Context, w *watch, v *store.View, ids []string, into *apiv1.ResourceChange) error {
	a, err := v.Account(ctx, ids[0])
	if err != nil {
		return err
	}
	i, err := v.Import(ctx, ids[0], ids[1])
	if err != nil {
		return err
	}
	state, err := w.server.tenancy.StateOf(ctx, v, i, a.PublicKey, time.Now())
	into.Resource = &apiv1.ResourceChange_Import{Import: importProto(v.Organization(), i, state)}
	return err
}
