package tenancy

import (
	"context"
	"fmt"
	"slices"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

const (
	operatorKeysMax     = 4  // that are not retired
	operatorRetiredKept = 10 // for the record
)

// Operator is the trust root with its signing keys.
type Operator struct {
	Installation store.Installation
	JWT          string
	Keys         []store.OperatorSigningKey // also those that were made elsewhere
	Resigning    *store.Resigning           // nil: there never was one
	Dependents   []string                   // accounts that a key retired by force signs still
	Announced    int64                      // revision that a broker has acknowledged which knows the JWT
}

// OperatorOf reads the trust root.
func OperatorOf(ctx context.Context, v *store.View) (Operator, error) {
	i, err := v.Installation(ctx)
	if err != nil {
		return Operator{}, fmt.Errorf("read installation: %w", err)
	}
	o := Operator{Installation: i}
	if o.JWT, err = v.Operator(ctx); err != nil {
		return o, fmt.Errorf("read operator: %w", err)
	}
	if _, o.Announced, err = v.Claims(ctx, i.SystemAccount); err != nil {
		return o, fmt.Errorf("read system account: %w", err)
	}
	r, err := v.Resigning(ctx)
	switch {
	case err == nil:
		o.Resigning = &r
	case errs.CodeOf(err) != errs.NotFound:
		return o, err
	}
	return o, o.listKeys()
}

// listKeys lists the keys that are known and those that only the JWT names.
func (o *Operator) listKeys() error {
	claims, err := accounts.ReadOperator(o.JWT)
	if err != nil {
		return err
	}
	own := o.Installation.Keys
	if len(own) == 0 {
		at := o.Installation.CreateTime
		own = []store.OperatorSigningKey{{PublicKey: o.Installation.SigningKey, State: store.KeyActive, CreateTime: at, PromoteTime: at}}
	}
	o.Keys = nil
	for _, key := range claims.SigningKeys {
		if !slices.ContainsFunc(own, func(k store.OperatorSigningKey) bool { return k.PublicKey == key }) {
			o.Keys = append(o.Keys, store.OperatorSigningKey{PublicKey: key, State: store.KeyVerifyOnly})
		}
	}
	o.Keys = append(o.Keys, own...)
	return nil
}

// staged returns the staged key, or nil.
func (o *Operator) staged() *store.OperatorSigningKey {
	return o.find(func(k store.OperatorSigningKey) bool { return k.State == store.KeyStaged })
}

func (o *Operator) find(matches func(store.OperatorSigningKey) bool) *store.OperatorSigningKey {
	if i := slices.IndexFunc(o.Keys, matches); i >= 0 {
		return &o.Keys[i]
	}
	return nil
}

// AwaitsBrokers reports whether a key is to sign as soon as brokers know it.
func (o *Operator) AwaitsBrokers() bool {
	staged := o.staged()
	return staged != nil && !staged.AnnounceTime.IsZero()
}

// terms says what the next JWT of the operator must keep to. Without is a key
// that it is to leave out.
func (o *Operator) terms(without string) accounts.OperatorTerms {
	t := accounts.OperatorTerms{PublicKey: o.Installation.RootKey, SystemAccount: o.Installation.SystemAccount}
	for _, k := range o.Keys {
		if k.PublicKey == without || k.State == store.KeyRetired {
			t.Retired = append(t.Retired, k.PublicKey)
		} else {
			t.Listed = append(t.Listed, k.PublicKey)
		}
	}
	return t
}

// Request returns what the holder of the root key is to sign, so that the staged
// key can be promoted and the key without retired.
func (o *Operator) Request(without string) accounts.OperatorRequest {
	return accounts.OperatorRequest{Operator: o.JWT, SigningKeys: o.terms(without).Listed}
}

// Pending reports whether the JWT that is in force lists other keys than the
// next one is to list.
func (o *Operator) Pending(without string) bool {
	claims, err := accounts.ReadOperator(o.JWT)
	if err != nil {
		return true
	}
	want := slices.Sorted(slices.Values(o.terms(without).Listed))
	return !slices.Equal(want, slices.Sorted(slices.Values(claims.SigningKeys)))
}

// StageOperatorKey makes the operator's next signing key.
func (s *Service) StageOperatorKey(ctx context.Context, tx *store.Tx) (Operator, error) {
	o, err := OperatorOf(ctx, tx.View)
	if err != nil {
		return o, err
	}
	if staged := o.staged(); staged != nil {
		return o, errs.New(errs.Precondition, "KEY_STAGED", "the operator has a staged key: %s", staged.PublicKey).
			WithNext("promote it, or retire it first")
	}
	live := 0
	for _, k := range o.Keys {
		if k.State != store.KeyRetired {
			live++
		}
	}
	if live >= operatorKeysMax {
		return o, errs.New(errs.Exhausted, "SIGNING_KEY_QUOTA", "the operator has %d keys that are not retired, and no more are allowed", live).
			WithNext("retire one that only verifies")
	}
	seed, err := accounts.NewOperatorKey()
	if err != nil {
		return o, err
	}
	public, err := seed.PublicKey()
	if err != nil {
		return o, err
	}
	sealed, err := s.custody.Seal(ctx, rowStaged(public), seed.Reveal())
	if err != nil {
		return o, fmt.Errorf("seal operator signing key: %w", err)
	}
	o.Keys = append(o.Keys, store.OperatorSigningKey{PublicKey: public, State: store.KeyStaged, SealedSeed: sealed, CreateTime: tx.Now})
	return o, o.put(tx)
}

func rowStaged(public string) string { return rowSigning + "/" + public }

// put writes the keys down.
func (o *Operator) put(tx *store.Tx) error {
	retired := 0
	for i := len(o.Keys) - 1; i >= 0; i-- {
		if o.Keys[i].State != store.KeyRetired {
			continue
		}
		if retired++; retired > operatorRetiredKept {
			o.Keys = slices.Delete(o.Keys, i, i+1)
		}
	}
	o.Installation.Keys = o.Keys
	return tx.PutInstallation(o.Installation)
}

// PromoteOperatorKey tells brokers of the staged key: with a JWT of the operator
// that its root key signed, or that is signed here if the root key is.
func (s *Service) PromoteOperatorKey(ctx context.Context, tx *store.Tx, text string) (Operator, error) {
	o, err := OperatorOf(ctx, tx.View)
	if err != nil {
		return o, err
	}
	staged := o.staged()
	if staged == nil {
		return o, errs.New(errs.Precondition, "NO_STAGED_KEY", "the operator has no staged key").WithNext("stage one first")
	}
	staged.AnnounceTime = tx.Now
	if err := s.announce(ctx, tx, &o, text, ""); err != nil {
		return o, err
	}
	return o, o.put(tx)
}

// announce puts a new JWT of the operator into the store.
func (s *Service) announce(ctx context.Context, tx *store.Tx, o *Operator, text, without string) (err error) {
	if text == "" {
		if text, err = s.signOperator(ctx, o, without); err != nil {
			return err
		}
	}
	if o.JWT, err = accounts.CheckOperator(text, o.terms(without)); err != nil {
		return err
	}
	system, _, err := tx.Claims(ctx, o.Installation.SystemAccount)
	if err != nil {
		return fmt.Errorf("read system account: %w", err)
	}
	signer, err := s.signs(ctx, tx)
	if err != nil {
		return err
	}
	if system, err = accounts.SignAgain(system, signer); err != nil {
		return err
	}
	tx.PutOperator(o.JWT, o.Installation.SystemAccount, system)
	return nil
}

// signOperator signs with the root key, if that is here.
func (s *Service) signOperator(ctx context.Context, o *Operator, without string) (string, error) {
	if len(o.Installation.SealedRoot) == 0 {
		return "", errs.New(errs.Precondition, "ROOT_OFFLINE", "the root key of the operator is kept offline, and the operator's new JWT is not given").
			WithField("operator_jwt").WithNext("`covey admin operator request` prints what is to be signed, `covey admin operator sign` signs it where the root key is")
	}
	root, err := openSigner(ctx, s.custody, rowRoot, o.Installation.SealedRoot)
	if err != nil {
		return "", fmt.Errorf("open operator root key: %w", err)
	}
	request, err := o.Request(without).Text()
	if err != nil {
		return "", err
	}
	signed, err := accounts.SignOperatorRequest(request, root)
	return signed.JWT, err
}

// ActivateOperatorKey lets the announced key sign, in place of the one that does.
// Call it once brokers know the key.
func (s *Service) ActivateOperatorKey(ctx context.Context, tx *store.Tx) (Operator, error) {
	o, err := OperatorOf(ctx, tx.View)
	if err != nil || !o.AwaitsBrokers() {
		return o, err
	}
	staged := o.staged()
	sealed, err := s.custody.Reseal(ctx, rowStaged(staged.PublicKey), rowSigning, staged.SealedSeed)
	if err != nil {
		return o, fmt.Errorf("seal operator signing key: %w", err)
	}
	if active := o.find(func(k store.OperatorSigningKey) bool { return k.State == store.KeyActive }); active != nil {
		active.State = store.KeyVerifyOnly // its seed goes: nothing needs it
	}
	staged.State, staged.SealedSeed, staged.PromoteTime = store.KeyActive, nil, tx.Now
	o.Installation.SigningKey, o.Installation.SealedSigning = staged.PublicKey, sealed
	total, err := tx.CountClaims(ctx)
	if err != nil {
		return o, err
	}
	o.Resigning = &store.Resigning{Key: staged.PublicKey, Total: total, StartTime: tx.Now}
	if err := tx.PutResigning(*o.Resigning); err != nil {
		return o, err
	}
	return o, o.put(tx)
}

// RetireOperatorKey has brokers refuse what a key signed.
func (s *Service) RetireOperatorKey(ctx context.Context, tx *store.Tx, public, text string, force bool) (Operator, error) {
	o, err := OperatorOf(ctx, tx.View)
	if err != nil {
		return o, err
	}
	key := o.find(func(k store.OperatorSigningKey) bool { return k.PublicKey == public })
	switch {
	case key == nil:
		return o, errs.New(errs.Precondition, "SIGNING_KEY_NOT_FOUND", "the operator has no signing key %s", public).WithField("public_key")
	case key.State == store.KeyActive:
		return o, errs.New(errs.Precondition, "KEY_ACTIVE", "the key signs for the operator").WithField("public_key").
			WithNext("stage and promote another first")
	case key.State == store.KeyRetired:
		return o, errs.New(errs.Precondition, "KEY_RETIRED", "the key is retired already").WithField("public_key")
	}
	if o.Dependents, err = s.signedBy(ctx, tx, &o, public); err != nil {
		return o, err
	}
	if n := len(o.Dependents); n > 0 && !force {
		return o, errs.New(errs.Precondition, "KEY_IN_USE", "the key signs %s still, %s first among them", atLeast(n), o.Dependents[0]).WithField("public_key").
			WithNext("wait until all accounts are signed again: `covey admin operator show`; or force, and brokers refuse them until then")
	}
	silent := key.State == store.KeyStaged && key.AnnounceTime.IsZero() && !o.Pending(public)
	key.State, key.SealedSeed, key.RetireTime = store.KeyRetired, nil, tx.Now
	if !silent {
		if err := s.announce(ctx, tx, &o, text, public); err != nil {
			return o, err
		}
	}
	return o, o.put(tx)
}

func atLeast(n int) string {
	if n >= dependentsShown {
		return fmt.Sprintf("%d accounts or more", n)
	}
	return fmt.Sprintf("%d accounts", n)
}
