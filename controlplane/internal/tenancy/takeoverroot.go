package tenancy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// ForeignRoot is a trust root that was made elsewhere.
type ForeignRoot struct {
	Operator       string                   // its JWT
	Seeds          map[string]accounts.Seed // of its own key, its signing keys and the system account's
	System         string                   // the system account's JWT; "" if the operator has none
	OfflineRoot    bool                     // do not keep the root's seed, even if it is there
	MakeSigningKey bool                     // if the seed of no signing key is there
}

// TakenRoot is a trust root that was taken over.
type TakenRoot struct {
	Installation store.Installation
	Signer       accounts.Signer
	FirstKey     authn.Token
	Changed      bool // servers need the operator's new JWT, Operator
	Operator     string
}

// TakeOverRoot makes the trust root of an empty store of one that was made
// elsewhere. Servers that trust that one go on as they are.
func TakeOverRoot(ctx context.Context, st *store.Store, c *custody.Custody, in ForeignRoot) (TakenRoot, error) {
	operator, err := accounts.ReadOperator(in.Operator)
	if err != nil {
		return TakenRoot{}, err
	}
	change := store.Change{Scope: store.Everything(), Actor: "system", Method: "Install", Target: "installation", Reason: "taken over"}
	out, _, err := store.Update(ctx, st, change, func(ctx context.Context, tx *store.Tx) (TakenRoot, store.Outcome, error) {
		t := &rootTaking{ForeignRoot: in, operator: operator, custody: c}
		out, err := t.install(ctx, tx)
		return out, store.Outcome{}, err
	})
	if errors.Is(err, store.ErrExists) {
		err = errs.New(errs.Precondition, "STORE_NOT_EMPTY", "the store has a trust root of its own").
			WithNext("import into an empty store, or take over the accounts only")
	}
	return out, err
}

// rootTaking is a trust root on its way in.
type rootTaking struct {
	ForeignRoot

	operator accounts.ForeignOperator
	custody  *custody.Custody
	out      TakenRoot
}

func (t *rootTaking) install(ctx context.Context, tx *store.Tx) (TakenRoot, error) {
	t.out.Operator = t.operator.JWT
	i := &t.out.Installation
	*i = store.Installation{ID: accounts.NewUID("ins_", tx.Now), RootKey: t.operator.PublicKey, CreateTime: tx.Now}
	root, err := t.seal(ctx, rowRoot, i.RootKey)
	if err != nil {
		return t.out, err
	}
	if !t.OfflineRoot {
		i.SealedRoot = root
	}
	if err := t.signingKey(ctx); err != nil {
		return t.out, err
	}
	system, err := t.system(ctx)
	if err != nil {
		return t.out, err
	}
	if err := tx.CreateInstallation(ctx, *i, t.out.Operator, system); err != nil {
		return t.out, err
	}
	t.out.FirstKey, err = createKey(ctx, tx, authz.Operator)
	return t.out, err
}

// signingKey finds the key that signs accounts from now on.
func (t *rootTaking) signingKey(ctx context.Context) (err error) {
	i := &t.out.Installation
	for _, key := range slices.Backward(t.operator.SigningKeys) {
		if i.SealedSigning, err = t.seal(ctx, rowSigning, key); err != nil {
			return err
		}
		if i.SealedSigning != nil {
			i.SigningKey = key
			t.out.Signer, err = t.Seeds[key].Signer()
			return err
		}
	}
	if !t.MakeSigningKey {
		return errs.New(errs.Precondition, "NO_SIGNING_KEY", "the seed of no signing key of the operator is there").
			WithNext("make one with `nsc edit operator --sk generate` and give servers the operator's JWT, or let it be made here")
	}
	var signer accounts.Signer
	if i.SigningKey, signer, i.SealedSigning, err = newOperatorKey(ctx, t.custody, rowSigning); err != nil {
		return err
	}
	t.out.Signer = signer
	return t.amend(i.SigningKey, "")
}

// system takes the system account over, or makes one.
func (t *rootTaking) system(ctx context.Context) (string, error) {
	i := &t.out.Installation
	if t.operator.SystemAccount == "" {
		made, err := newKey(ctx, t.custody, "", useIdentity)
		if err != nil {
			return "", err
		}
		i.SystemAccount, i.SealedSystem = made.public, made.sealed
		if err := t.amend("", made.public); err != nil {
			return "", err
		}
		return accounts.SignAccount(accounts.AccountSpec{PublicKey: made.public, Name: "system"}, t.out.Signer)
	}
	i.SystemAccount = t.operator.SystemAccount
	if t.System == "" {
		return "", errs.New(errs.Precondition, "NO_SYSTEM_ACCOUNT", "the claims of the operator's system account %s are not there", i.SystemAccount).
			WithNext("bring its JWT, too")
	}
	system, err := accounts.ReadAccount(t.System)
	if err != nil {
		return "", fmt.Errorf("system account: %w", err)
	}
	if system.Spec.PublicKey != i.SystemAccount {
		return "", errs.New(errs.Invalid, "WRONG_ACCOUNT", "the system account is %s, not %s", i.SystemAccount, system.Spec.PublicKey)
	}
	if i.SealedSystem, err = t.seal(ctx, rowName(i.SystemAccount, useIdentity), i.SystemAccount); err != nil {
		return "", err
	}
	return accounts.SignAccount(system.Spec, t.out.Signer)
}

// amend signs the operator's JWT again, for which the root is needed.
func (t *rootTaking) amend(signingKey, systemAccount string) error {
	seed, there := t.Seeds[t.operator.PublicKey]
	if !there {
		return errs.New(errs.Precondition, "ROOT_OFFLINE", "the operator's JWT has no signing key or no system account, and the seed of its root is not there to add one").
			WithNext("add both with `nsc edit operator --sk generate --system-account NAME` where the root is")
	}
	root, err := seed.Signer()
	if err != nil {
		return err
	}
	t.out.Changed = true
	t.out.Operator, err = accounts.AmendOperator(t.out.Operator, signingKey, systemAccount, root)
	return err
}

func (t *rootTaking) seal(ctx context.Context, row, key string) ([]byte, error) {
	s := &Service{custody: t.custody}
	return s.sealSeed(ctx, &taking{seeds: t.Seeds}, row, key)
}
