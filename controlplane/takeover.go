package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
)

// ForeignRoot is a trust root that was made elsewhere.
type ForeignRoot = tenancy.ForeignRoot

// ForeignAccount is an account that was made elsewhere, with everything in it.
type ForeignAccount = tenancy.ForeignAccount

// Takeover is an operator's accounts that were made elsewhere. Root is nil when
// they are to be signed by the operator that the store has.
type Takeover struct {
	Root     *ForeignRoot
	Accounts []ForeignAccount
}

// TakenOver says what became of them. Secrets are in files: KeyFiles are theirs.
type TakenOver struct {
	tenancy.TakenOver

	RootChanged bool   // servers need the operator's new JWT
	Operator    string // that JWT
	KeyFiles    []string
}

// TakeOver brings accounts that were made elsewhere into the store of a
// configuration, keys and all, so that what they issued stays good. With a root,
// the store must be empty. The first keys of the operator and of the owners of
// new organizations are written beside the data, readable by their owner only.
func TakeOver(ctx context.Context, cfg Config, in Takeover) (out TakenOver, err error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return out, err
	}
	s := &Server{log: cfg.Logger.With("component", "controlplane"), dataDir: cfg.DataDir}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.openStore(ctx, cfg); err != nil {
		return out, err
	}
	if err := tenancy.New(s.custody, nil, cfg.Logger).CheckTakeOver(ctx, s.store, in.Accounts); err != nil {
		return out, err
	}
	signer, err := s.rootFor(ctx, in, &out)
	if err != nil {
		return out, err
	}
	out.TakenOver, err = tenancy.New(s.custody, signer, cfg.Logger).TakeOver(ctx, s.store, in.Accounts)
	for _, organization := range slices.Sorted(maps.Keys(out.Owners)) {
		path := filepath.Join(cfg.DataDir, "owners", organization+".key")
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), out.keep(path, out.Owners[organization]))
	}
	s.log.InfoContext(ctx, "accounts taken over", slog.Int("accounts", out.Accounts), slog.Int("users", out.Users))
	return out, err
}

func (out *TakenOver) keep(path string, key authn.Token) error {
	if err := write(path, key.Reveal()); err != nil {
		return err
	}
	out.KeyFiles = append(out.KeyFiles, path)
	return nil
}

// rootFor returns who signs what is taken over.
func (s *Server) rootFor(ctx context.Context, in Takeover, out *TakenOver) (accounts.Signer, error) {
	there, err := s.store.Installation(ctx)
	fresh := errors.Is(err, store.ErrNotFound)
	if err != nil && !fresh {
		return nil, fmt.Errorf("read installation: %w", err)
	}
	if in.Root == nil && fresh {
		return nil, errs.New(errs.Precondition, "STORE_EMPTY", "the store has no operator yet, who would sign the accounts").
			WithNext("take the operator over, too; or start the control plane once")
	}
	if in.Root == nil || !fresh {
		if err := sameRoot(in.Root, there); err != nil {
			return nil, err
		}
		root, err := tenancy.Bootstrap(ctx, s.store, s.custody)
		return root.Signer, err
	}
	taken, err := tenancy.TakeOverRoot(ctx, s.store, s.custody, *in.Root)
	if err != nil {
		return nil, err
	}
	out.RootChanged, out.Operator = taken.Changed, taken.Operator
	return taken.Signer, out.keep(filepath.Join(s.dataDir, "operator.key"), taken.FirstKey)
}

// sameRoot lets a takeover that was cut off go on.
func sameRoot(in *ForeignRoot, there store.Installation) error {
	if in == nil {
		return nil
	}
	operator, err := accounts.ReadOperator(in.Operator)
	if err == nil && operator.PublicKey != there.RootKey {
		err = errs.New(errs.Precondition, "STORE_NOT_EMPTY", "the store has another operator, %s", there.RootKey).
			WithNext("import into an empty store, or take over the accounts only")
	}
	return err
}
