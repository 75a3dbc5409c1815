package tenancy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// ForeignAccount is an account that was made elsewhere, with everything in it.
type ForeignAccount struct {
	Organization string // made if it is not there
	JWT          string
	Seeds        map[string]accounts.Seed // of its own key and its signing keys, by public key
	Users        []string                 // their JWTs
}

// TakenOver says what became of accounts that were made elsewhere.
type TakenOver struct {
	Organizations, Accounts, Users, Credentials, Exports, Imports int

	Known  int                    // accounts that were there already, the same key and all
	Names  map[string]string      // resource names of accounts, by public key
	Owners map[string]authn.Token // the first key of every new organization: secret
	Notes  []string               // what is not as it was, for people
}

func (t *TakenOver) note(format string, args ...any) {
	t.Notes = append(t.Notes, fmt.Sprintf(format, args...))
}

// taking is one account on its way in.
type taking struct {
	organization, id string
	foreign          accounts.ForeignAccount
	seeds            map[string]accounts.Seed
	users            []accounts.ForeignUser
	known            bool

	exports map[string]store.Export // that become records, by subject and type
}

// signer says which role a key of the account is of; plain is one of none.
func (t *taking) signer(key string) (role int, plain, known bool) {
	if key == t.foreign.Spec.PublicKey || slices.Contains(t.foreign.Spec.Keys, key) {
		return 0, true, true
	}
	for i, r := range t.foreign.Spec.Roles {
		if slices.Contains(r.Keys, key) {
			return i, false, true
		}
	}
	return 0, false, false
}

// TakeOver takes accounts over that were made elsewhere, keys and all: what they
// issued stays good. It checks everything before it writes anything; cut off, it
// goes on where it was when it is called again.
func (s *Service) TakeOver(ctx context.Context, st *store.Store, in []ForeignAccount) (TakenOver, error) {
	out := TakenOver{Names: map[string]string{}, Owners: map[string]authn.Token{}}
	all, err := s.plan(ctx, st, in, &out)
	if err != nil {
		return out, err
	}
	s.planSharing(all, &out)
	for _, t := range all {
		if err := s.takeOrganization(ctx, st, t, &out); err != nil {
			return out, fmt.Errorf("take over organization %s: %w", t.organization, err)
		}
		if err := s.takeAccount(ctx, st, t, all, &out); err != nil {
			return out, fmt.Errorf("take over account %q: %w", t.foreign.Spec.Name, err)
		}
		if err := s.takeUsers(ctx, st, t, &out); err != nil {
			return out, fmt.Errorf("take over users of account %q: %w", t.foreign.Spec.Name, err)
		}
	}
	return out, nil
}

// CheckTakeOver is TakeOver without what it writes.
func (s *Service) CheckTakeOver(ctx context.Context, st *store.Store, in []ForeignAccount) error {
	_, err := s.plan(ctx, st, in, &TakenOver{Names: map[string]string{}})
	return err
}

// plan reads everything and finds names.
func (s *Service) plan(ctx context.Context, st *store.Store, in []ForeignAccount, out *TakenOver) ([]*taking, error) {
	taken := map[string]bool{} // "organization/account"
	seen := map[string]bool{}  // public keys
	var all []*taking
	for _, f := range in {
		t, err := read(f)
		if err != nil {
			return nil, err
		}
		public := t.foreign.Spec.PublicKey
		if seen[public] {
			return nil, errs.New(errs.Invalid, "ACCOUNT_TWICE", "the account %s is there twice", public)
		}
		seen[public] = true
		err = s.place(ctx, st, t, func(id string) (bool, error) {
			if taken[t.organization+"/"+id] {
				return true, nil
			}
			return accountIsThere(ctx, st, t.organization, id)
		})
		if err != nil {
			return nil, err
		}
		taken[t.organization+"/"+t.id] = true
		out.Names[public] = AccountName(t.organization, t.id)
		all = append(all, t)
	}
	return all, nil
}

func read(f ForeignAccount) (*taking, error) {
	if err := accounts.ValidateOrganizationID(f.Organization); err != nil {
		return nil, err
	}
	account, err := accounts.ReadAccount(f.JWT)
	if err != nil {
		return nil, err
	}
	t := &taking{organization: f.Organization, foreign: account, seeds: f.Seeds, exports: map[string]store.Export{}}
	if roles := len(account.Spec.Roles); roles > rolesMax {
		return nil, errs.New(errs.Exhausted, "ROLE_QUOTA", "the account %q has %d different scoped signing keys, and no more than %d roles are allowed", account.Spec.Name, roles, rolesMax).
			WithNext("take some out of it first")
	}
	for key, seed := range f.Seeds {
		if _, _, ours := t.signer(key); ours {
			if err := matches(key, seed); err != nil {
				return nil, err
			}
		}
	}
	for _, text := range f.Users {
		u, err := accounts.ReadUser(text)
		if err != nil {
			return nil, fmt.Errorf("account %q: %w", account.Spec.Name, err)
		}
		if u.Spec.AccountKey != account.Spec.PublicKey {
			return nil, errs.New(errs.Invalid, "WRONG_ACCOUNT", "the user %q is of the account %s, and not of %q", u.Spec.Name, u.Spec.AccountKey, account.Spec.Name)
		}
		t.users = append(t.users, u)
	}
	return t, nil
}

// place finds the id that an account has, or gets.
func (s *Service) place(ctx context.Context, st *store.Store, t *taking, taken func(id string) (bool, error)) error {
	public := t.foreign.Spec.PublicKey
	ref, err := st.AccountByKey(ctx, public)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return err
	case !ref.DeleteTime.IsZero():
		return errs.New(errs.Precondition, "ACCOUNT_ENDED", "the account %s was here and has ended; its key is never used again", public)
	case ref.Organization != t.organization:
		return errs.New(errs.Exists, "ACCOUNT_EXISTS", "the account %s is another organization's here", public)
	default:
		t.id, t.known = ref.Account, true
		return nil
	}
	var failed error
	t.id = accounts.AccountIDFrom(t.foreign.Spec.Name, func(id string) bool {
		is, err := taken(id)
		failed = errors.Join(failed, err)
		return is && err == nil
	})
	return failed
}

func accountIsThere(ctx context.Context, st *store.Store, organization, id string) (bool, error) {
	v, err := st.View(store.Everything(), organization)
	if err != nil {
		return false, err
	}
	_, err = v.Account(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// takeOrganization makes the organization, with an owner, if it is not there.
func (s *Service) takeOrganization(ctx context.Context, st *store.Store, t *taking, out *TakenOver) error {
	key, _, err := store.Update(ctx, st, t.change("CreateOrganization", OrganizationName(t.organization)), func(ctx context.Context, tx *store.Tx) (authn.Token, store.Outcome, error) {
		err := tx.CreateOrg(ctx, store.Organization{
			ID: t.organization, UID: accounts.NewUID(accounts.PrefixOrganization, tx.Now), DisplayName: t.organization, CreateTime: tx.Now, UpdateTime: tx.Now,
		})
		if err == nil {
			err = begin(ctx, tx)
		}
		if err != nil {
			return authn.Token{}, store.Outcome{}, err
		}
		key, err := firstKey(ctx, tx, importer)
		return key, store.Outcome{}, err
	})
	if errors.Is(err, store.ErrExists) {
		return nil
	}
	if err == nil {
		out.Organizations++
		out.Owners[t.organization] = key
	}
	return err
}

// importer is who asks for what is taken over.
const importer = "import"

func (t *taking) change(method, target string) store.Change {
	return store.Change{Scope: store.Everything(), Organization: t.organization, Actor: "system", Method: method, Target: target, Reason: "taken over"}
}

// takeAccount makes the account with its roles and what it shares.
func (s *Service) takeAccount(ctx context.Context, st *store.Store, t *taking, all []*taking, out *TakenOver) error {
	if t.known {
		out.Known++
		return nil
	}
	change := t.change("ImportAccount", AccountName(t.organization, t.id))
	counts, _, err := store.Update(ctx, st, change, func(ctx context.Context, tx *store.Tx) (TakenOver, store.Outcome, error) {
		var counts TakenOver
		err := s.putAccount(ctx, tx, t, all, &counts)
		return counts, store.Outcome{}, err
	})
	if err != nil {
		return err
	}
	out.Accounts++
	out.Exports += counts.Exports
	out.Imports += counts.Imports
	out.Notes = append(out.Notes, counts.Notes...)
	return nil
}

func (s *Service) putAccount(ctx context.Context, tx *store.Tx, t *taking, all []*taking, out *TakenOver) error {
	spec := t.foreign.Spec
	a, err := s.accountOf(ctx, t, tx.Now, out)
	if err != nil {
		return err
	}
	roles, err := s.rolesOf(ctx, t, tx.Now, out)
	if err != nil {
		return err
	}
	changes, rest, err := t.share(tx, all, out)
	if err != nil {
		return err
	}
	a.Carried = rest
	if err := allot(ctx, tx, nil, &a); err != nil {
		return err
	}
	if err := tx.CreateAccount(ctx, a); err != nil {
		return err
	}
	for _, r := range roles {
		if err := tx.PutRole(a.ID, r); err != nil {
			return err
		}
	}
	r := store.Revocations{Revocations: spec.Revocations}
	if err := tx.PutRevocations(a.ID, r); err != nil {
		return err
	}
	for _, c := range changes {
		if c.export != nil {
			err = tx.CreateExport(ctx, *c.export)
		} else {
			err = tx.CreateImport(ctx, *c.imp)
		}
		if err != nil {
			return err
		}
	}
	_, err = s.publish(ctx, tx, "ImportAccount", AccountName(t.organization, a.ID), a, roles, r, changes...)
	return err
}

// accountOf makes the record of an account, its keys sealed.
func (s *Service) accountOf(ctx context.Context, t *taking, now time.Time, out *TakenOver) (store.Account, error) {
	spec := t.foreign.Spec
	a := store.Account{
		ID: t.id, UID: accounts.NewUID(accounts.PrefixAccount, now), PublicKey: spec.PublicKey, Limits: spec.Limits, AuthCallout: spec.Callout,
		CreateTime: now, UpdateTime: now,
	}
	if spec.Name != t.id {
		a.DisplayName = spec.Name
	}
	var err error
	if a.SealedSeed, err = s.sealSeed(ctx, t, rowName(a.PublicKey, useIdentity), a.PublicKey); err != nil {
		return a, err
	}
	if a.SealedSeed == nil {
		out.note("account %q: the seed of its own key %s is not there; it can be exported without it only", spec.Name, a.PublicKey)
	}
	candidates := append(slices.Clone(spec.Keys), a.PublicKey)
	for _, key := range candidates {
		if a.SealedDirect, err = s.sealSeed(ctx, t, rowName(a.PublicKey, useDirect), key); err != nil {
			return a, err
		}
		if a.SealedDirect != nil {
			a.DirectKey = key
			break
		}
	}
	if a.DirectKey == "" {
		made, err := newKey(ctx, s.custody, a.PublicKey, useDirect)
		if err != nil {
			return a, err
		}
		a.DirectKey, a.SealedDirect = made.public, made.sealed
		out.note("account %q: it gets the signing key %s, since no seed of an unscoped one is there", spec.Name, made.public)
	}
	for _, key := range spec.Keys {
		if key == a.DirectKey {
			continue
		}
		sealed, err := s.sealSeed(ctx, t, rowName(a.PublicKey, useDirect+"/"+key), key)
		if err != nil {
			return a, err
		}
		a.OtherKeys = append(a.OtherKeys, store.SigningKey{PublicKey: key, SealedSeed: sealed, State: store.KeyVerifyOnly, CreateTime: now})
	}
	return a, nil
}

// sealSeed seals the seed of a key; nil if it is not there.
func (s *Service) sealSeed(ctx context.Context, t *taking, row, key string) ([]byte, error) {
	seed, there := t.seeds[key]
	if !there {
		return nil, nil
	}
	if err := matches(key, seed); err != nil {
		return nil, err
	}
	sealed, err := s.custody.Seal(ctx, row, seed.Reveal())
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", row, err)
	}
	return sealed, nil
}

func matches(key string, seed accounts.Seed) error {
	public, err := seed.PublicKey()
	if err == nil && public != key {
		err = errs.New(errs.Invalid, "WRONG_SEED", "the seed of %s is that of %s", key, public)
	}
	return err
}

// rolesOf makes the records of an account's roles. Of several keys the one
// signs on that signed last.
func (s *Service) rolesOf(ctx context.Context, t *taking, now time.Time, out *TakenOver) ([]store.Role, error) {
	last := map[string]time.Time{}
	for _, u := range t.users {
		if u.Token.IssuedAt.After(last[u.Issuer]) {
			last[u.Issuer] = u.Token.IssuedAt
		}
	}
	roles := make([]store.Role, 0, len(t.foreign.Spec.Roles))
	for i, name := range t.roleNames() {
		from := t.foreign.Spec.Roles[i]
		role := store.Role{Name: name, Permissions: from.Permissions, Carried: from.Carried, CreateTime: now, UpdateTime: now}
		active := -1
		for k, key := range from.Keys {
			sealed, err := s.sealSeed(ctx, t, rowName(t.foreign.Spec.PublicKey, useRole+name+"/"+key), key)
			if err != nil {
				return nil, err
			}
			role.Keys = append(role.Keys, store.SigningKey{PublicKey: key, SealedSeed: sealed, State: store.KeyVerifyOnly, CreateTime: now})
			if sealed != nil && (active < 0 || last[key].After(last[from.Keys[active]])) {
				active = k
			}
		}
		if active >= 0 {
			role.Keys[active].State, role.Keys[active].PromoteTime = store.KeyActive, now
		} else {
			if err := s.addKey(ctx, &role, t.foreign.Spec.PublicKey, store.KeyActive, now); err != nil {
				return nil, err
			}
			out.note("account %q: the role %q gets another signing key, since no seed of its own is there", t.foreign.Spec.Name, name)
		}
		if name != from.Name {
			out.note("account %q: the role %q is called %q", t.foreign.Spec.Name, from.Name, name)
			var err error
			if role.Carried, err = accounts.CarryRole(from); err != nil {
				return nil, err
			}
		}
		roles = append(roles, role)
	}
	return roles, nil
}

// roleNames finds a name for every role.
func (t *taking) roleNames() []string {
	taken := map[string]bool{}
	var names []string
	for _, r := range t.foreign.Spec.Roles {
		name := accounts.RoleFrom(r.Name, func(id string) bool { return taken[id] })
		taken[name] = true
		names = append(names, name)
	}
	return names
}
