package tenancy

import (
	"context"
	"errors"
	"fmt"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// The custody rows of the trust root.
const (
	rowRoot    = "operator/root"
	rowSigning = "operator/signing"
)

// Root is the trust root of an installation.
type Root struct {
	Installation store.Installation
	Signer       accounts.Signer // an operator signing key
	FirstKey     authn.Token     // the operator's first API key; zero unless it was just made
}

// Bootstrap opens the trust root, making it on the first start: the operator's
// root and signing keys, the operator's JWT, the system account, and the
// operator's first API key.
func Bootstrap(ctx context.Context, s *store.Store, c *custody.Custody) (Root, error) {
	installation, err := s.Installation(ctx)
	var first authn.Token
	if errors.Is(err, store.ErrNotFound) {
		installation, first, err = install(ctx, s, c, nil)
	}
	if err != nil {
		return Root{}, fmt.Errorf("read installation: %w", err)
	}
	signer, err := openSigner(ctx, c, rowSigning, installation.SealedSigning)
	if err != nil {
		return Root{}, fmt.Errorf("open operator signing key: %w", err)
	}
	return Root{Installation: installation, Signer: signer, FirstKey: first}, nil
}

type installed struct {
	installation store.Installation
	key          authn.Token
}

// install makes the trust root. When several control planes start at once on
// one etcd, one of them makes it and the others find it. A root key that is given
// is used, and not kept.
func install(ctx context.Context, s *store.Store, c *custody.Custody, offline *accounts.Seed) (store.Installation, authn.Token, error) {
	change := store.Change{Scope: store.Everything(), Actor: "system", Method: "Install", Target: "installation"}
	made, _, err := store.Update(ctx, s, change, func(ctx context.Context, tx *store.Tx) (installed, store.Outcome, error) {
		out, err := installIn(ctx, tx, c, offline)
		return out, store.Outcome{}, err
	})
	if errors.Is(err, store.ErrExists) {
		i, err := s.Installation(ctx)
		return i, authn.Token{}, err
	}
	return made.installation, made.key, err
}

// NewOperatorKey makes another API key of the operator.
func NewOperatorKey(ctx context.Context, s *store.Store) (authn.Token, error) {
	change := store.Change{Scope: store.Everything(), Actor: "system", Method: "NewOperatorKey", Target: "installation"}
	key, _, err := store.Update(ctx, s, change, func(ctx context.Context, tx *store.Tx) (authn.Token, store.Outcome, error) {
		key, err := createKey(ctx, tx, authz.Operator)
		return key, store.Outcome{}, err
	})
	return key, err
}

func installIn(ctx context.Context, tx *store.Tx, c *custody.Custody, offline *accounts.Seed) (installed, error) {
	rootSigner, sealedRoot, err := rootKey(ctx, c, offline)
	if err != nil {
		return installed{}, err
	}
	root := rootSigner.PublicKey()
	signing, signer, sealedSigning, err := newOperatorKey(ctx, c, rowSigning)
	if err != nil {
		return installed{}, err
	}
	system, err := newKey(ctx, c, "", useIdentity)
	if err != nil {
		return installed{}, err
	}
	operatorJWT, err := accounts.SignOperator(accounts.OperatorSpec{Name: "covey", SigningKeys: []string{signing}, SystemAccount: system.public}, rootSigner)
	if err != nil {
		return installed{}, err
	}
	systemJWT, err := accounts.SignAccount(accounts.AccountSpec{PublicKey: system.public, Name: "system"}, signer)
	if err != nil {
		return installed{}, err
	}
	i := store.Installation{
		ID: accounts.NewUID("ins_", tx.Now), RootKey: root, SealedRoot: sealedRoot, SigningKey: signing, SealedSigning: sealedSigning,
		SystemAccount: system.public, SealedSystem: system.sealed, CreateTime: tx.Now,
	}
	if err := tx.CreateInstallation(ctx, i, operatorJWT, systemJWT); err != nil {
		return installed{}, err
	}
	key, err := createKey(ctx, tx, authz.Operator)
	return installed{installation: i, key: key}, err
}

// rootKey makes the root key, unless it is kept offline.
func rootKey(ctx context.Context, c *custody.Custody, offline *accounts.Seed) (accounts.Signer, []byte, error) {
	if offline != nil {
		signer, err := offline.Signer()
		return signer, nil, err
	}
	_, signer, sealed, err := newOperatorKey(ctx, c, rowRoot)
	return signer, sealed, err
}

func newOperatorKey(ctx context.Context, c *custody.Custody, row string) (string, accounts.Signer, []byte, error) {
	seed, err := accounts.NewOperatorKey()
	if err != nil {
		return "", nil, nil, err
	}
	signer, err := seed.Signer()
	if err != nil {
		return "", nil, nil, err
	}
	sealed, err := c.Seal(ctx, row, seed.Reveal())
	if err != nil {
		return "", nil, nil, fmt.Errorf("seal %s: %w", row, err)
	}
	return signer.PublicKey(), signer, sealed, nil
}
