package tenancy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

const (
	roleKeysMax     = 4 // of one role that are not retired
	retiredKeysKept = 5 // of one role, for the record
)

// addKey makes a key of a role.
func (s *Service) addKey(ctx context.Context, r *store.Role, account string, state store.KeyState, now time.Time) error {
	made, err := newKey(ctx, s.custody, account, useRole+r.Name)
	if err != nil {
		return err
	}
	key := store.SigningKey{PublicKey: made.public, SealedSeed: made.sealed, State: state, CreateTime: now}
	if state == store.KeyActive {
		key.PromoteTime = now
	}
	r.Keys = append(r.Keys, key)
	return nil
}

// LiveKeys returns the keys of a role whose users brokers let in.
func LiveKeys(r store.Role) []string { return liveKeys(r) }

// liveKeys returns the keys whose users brokers let in.
func liveKeys(r store.Role) []string {
	var keys []string
	for _, k := range r.Keys {
		if k.State != store.KeyRetired {
			keys = append(keys, k.PublicKey)
		}
	}
	return keys
}

func findKey(r *store.Role, matches func(store.SigningKey) bool) *store.SigningKey {
	if i := slices.IndexFunc(r.Keys, matches); i >= 0 {
		return &r.Keys[i]
	}
	return nil
}

func inState(state store.KeyState) func(store.SigningKey) bool {
	return func(k store.SigningKey) bool { return k.State == state }
}

func activeKey(r store.Role) (store.SigningKey, error) {
	key := findKey(&r, inState(store.KeyActive))
	if key == nil {
		return store.SigningKey{}, fmt.Errorf("role %q has no active key", r.Name)
	}
	return *key, nil
}

// retire ends a key: its seed goes, and brokers refuse what it signed.
func retire(r *store.Role, public string, now time.Time) {
	key := findKey(r, func(k store.SigningKey) bool { return k.PublicKey == public })
	key.State, key.SealedSeed, key.RetireTime, key.Operation = store.KeyRetired, nil, now, ""
	retired := 0
	for i := len(r.Keys) - 1; i >= 0; i-- {
		if r.Keys[i].State != store.KeyRetired {
			continue
		}
		if retired++; retired > retiredKeysKept {
			r.Keys = slices.Delete(r.Keys, i, i+1)
		}
	}
}

// StageKey makes the next key of a role and tells brokers of it.
func (s *Service) StageKey(ctx context.Context, tx *store.Tx, method, account, role, etag string) (RoleChange, error) {
	return s.changeRole(ctx, tx, method, account, role, etag, func(a store.Account, r *store.Role) error {
		if staged := findKey(r, inState(store.KeyStaged)); staged != nil {
			return errs.New(errs.Precondition, "KEY_STAGED", "the role %q has a staged key: %s", role, staged.PublicKey).
				WithNext("promote it, or retire it first")
		}
		if live := len(liveKeys(*r)); live >= roleKeysMax {
			return errs.New(errs.Exhausted, "SIGNING_KEY_QUOTA", "the role %q has %d keys that are not retired, and no more are allowed", role, live).
				WithNext("retire one that only verifies")
		}
		return s.addKey(ctx, r, a.PublicKey, store.KeyStaged, tx.Now)
	})
}

// PromoteKey lets the staged key of a role sign. Known tells whether every
// connected broker has acknowledged an operation.
func (s *Service) PromoteKey(ctx context.Context, tx *store.Tx, account, role, etag string, known func(store.Operation) (bool, error)) (store.Role, error) {
	if _, err := liveAccount(ctx, tx, account); err != nil {
		return store.Role{}, err
	}
	r, err := tx.Role(ctx, account, role)
	if err != nil {
		return store.Role{}, err
	}
	if err := checkEtag(etag, r.Revision); err != nil {
		return store.Role{}, err
	}
	staged := findKey(&r, inState(store.KeyStaged))
	if staged == nil {
		return store.Role{}, errs.New(errs.Precondition, "NO_STAGED_KEY", "the role %q has no staged key", role).WithNext("stage one first")
	}
	op, err := tx.Operation(ctx, staged.Operation)
	if err == nil {
		var everywhere bool
		if everywhere, err = known(op); err == nil && !everywhere {
			err = errs.New(errs.Unavailable, "KEY_NOT_ENFORCED", "a connected broker does not know the staged key yet").
				WithRetry(time.Second).WithNext("wait for the operation %s", op.ID)
		}
	}
	if ignoreForgotten(err) != nil {
		return store.Role{}, err
	}
	active := findKey(&r, inState(store.KeyActive))
	if active != nil {
		active.State = store.KeyVerifyOnly
	}
	staged.State, staged.PromoteTime, staged.Operation = store.KeyActive, tx.Now, ""
	r.UpdateTime = tx.Now
	return r, tx.PutRole(account, r)
}

// ignoreForgotten takes an operation that is not listed any more for one that
// was in force long ago.
func ignoreForgotten(err error) error {
	if errs.CodeOf(err) == errs.NotFound {
		return nil
	}
	return err
}

// RetireKey refuses what a key of a role signed.
func (s *Service) RetireKey(ctx context.Context, tx *store.Tx, method, account, role, etag, public string, force bool) (RoleChange, error) {
	dependents, err := s.dependents(ctx, tx.View, account, tx.Now, []string{public})
	if err != nil {
		return RoleChange{}, err
	}
	out, err := s.changeRole(ctx, tx, method, account, role, etag, func(_ store.Account, r *store.Role) error {
		key := findKey(r, func(k store.SigningKey) bool { return k.PublicKey == public })
		switch {
		case key == nil:
			return errs.New(errs.Precondition, "SIGNING_KEY_NOT_FOUND", "the role %q has no key %s", role, public).WithField("public_key")
		case key.State == store.KeyActive:
			return errs.New(errs.Precondition, "KEY_ACTIVE", "the key signs for the role %q", role).WithField("public_key").
				WithNext("stage and promote another first; if it leaked, rotate now")
		case key.State == store.KeyRetired:
			return errs.New(errs.Precondition, "KEY_RETIRED", "the key is retired already").WithField("public_key")
		case len(dependents) > 0 && !force:
			return errs.New(errs.Precondition, "KEY_IN_USE", "%d credentials that are good depend on the key, %s first among them",
				len(dependents), CredentialName(tx.Organization(), dependents[0])).WithField("public_key").
				WithNext("list who depends on it and renew those, or force")
		}
		retire(r, public, tx.Now)
		return nil
	})
	out.Dependents = dependents
	return out, err
}

// RotateKeyNow makes a new key that signs at once and retires all others.
func (s *Service) RotateKeyNow(ctx context.Context, tx *store.Tx, method, account, role, etag string) (RoleChange, error) {
	var dependents []store.Credential
	out, err := s.changeRole(ctx, tx, method, account, role, etag, func(a store.Account, r *store.Role) (err error) {
		old := liveKeys(*r)
		if dependents, err = s.dependents(ctx, tx.View, account, tx.Now, old); err != nil {
			return err
		}
		for _, key := range old {
			retire(r, key, tx.Now)
		}
		return s.addKey(ctx, r, a.PublicKey, store.KeyActive, tx.Now)
	})
	out.Dependents = dependents
	return out, err
}

// dependents returns the good credentials of an account that keys signed.
func (s *Service) dependents(ctx context.Context, v *store.View, account string, now time.Time, keys []string) ([]store.Credential, error) {
	r, err := v.Revocations(ctx, account)
	if err != nil {
		return nil, err
	}
	issued, err := v.AccountCredentials(ctx, account)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(issued, func(c store.Credential) bool {
		return !slices.Contains(keys, c.IssuerKey) || LifeOf(c, r.Revocations, now) != Active
	}), nil
}

// GoodCredentials returns the credentials that brokers let in for themselves: of
// one user of an account, or of all if it is "".
func (s *Service) GoodCredentials(ctx context.Context, v *store.View, account, user string, now time.Time) ([]store.Credential, error) {
	r, err := v.Revocations(ctx, account)
	if err != nil {
		return nil, err
	}
	issuers, err := s.IssuersOf(ctx, v, account)
	if err != nil {
		return nil, err
	}
	var issued []store.Credential
	if user == "" {
		issued, err = v.AccountCredentials(ctx, account)
	} else {
		issued, err = v.AllCredentials(ctx, account, user)
	}
	return slices.DeleteFunc(issued, func(c store.Credential) bool { return !issuers.LifeOf(c, r.Revocations, now).good() }), err
}

// Dependents returns the good credentials that keys of a role signed, ordered
// by id: those of one key, or of all when public is "".
func (s *Service) Dependents(ctx context.Context, v *store.View, account, role, public string) ([]store.Credential, error) {
	r, err := v.Role(ctx, account, role)
	if err != nil {
		return nil, err
	}
	keys := liveKeys(r)
	if public != "" {
		if !slices.Contains(keys, public) {
			keys = nil
		} else {
			keys = []string{public}
		}
	}
	all, err := s.dependents(ctx, v, account, time.Now(), keys)
	slices.SortFunc(all, func(a, b store.Credential) int { return strings.Compare(a.ID, b.ID) })
	return all, err
}

// Issuers are the keys of an account whose users brokers let in.
type Issuers map[string]bool

// IssuersOf reads the keys of an account.
func (s *Service) IssuersOf(ctx context.Context, v *store.View, account string) (Issuers, error) {
	a, err := v.Account(ctx, account)
	if err != nil {
		return nil, err
	}
	roles, err := v.Roles(ctx, account)
	if err != nil {
		return nil, err
	}
	keys := Issuers{a.DirectKey: true, a.PublicKey: true}
	for _, k := range a.OtherKeys {
		keys[k.PublicKey] = true
	}
	for _, r := range roles {
		for _, k := range liveKeys(r) {
			keys[k] = true
		}
	}
	return keys, nil
}

// LifeOf is LifeOf that also knows of retired keys.
func (i Issuers) LifeOf(c store.Credential, r accounts.Revocations, now time.Time) CredentialLife {
	life := LifeOf(c, r, now)
	if life.good() && !i[c.IssuerKey] {
		return IssuerRetired
	}
	return life
}
