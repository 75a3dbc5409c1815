package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
)

// NewRoot is a trust root that was just made.
type NewRoot struct {
	PublicKey  string // of the root
	SigningKey string
	Operator   string // the operator's JWT
	KeyFile    string // where the operator's first API key is
}

// InitOperator makes the trust root of an empty store. With a file, the seed of
// the root key goes there and nowhere else; one that is in it already is taken,
// so that what was cut off can be repeated.
func InitOperator(ctx context.Context, cfg Config, rootFile string) (out NewRoot, err error) {
	s, err := openForMaintenance(ctx, cfg)
	if s != nil {
		defer func() { err = errors.Join(err, s.Close()) }()
	}
	if err != nil {
		return out, err
	}
	var root *accounts.Seed
	if rootFile != "" {
		if err := tenancy.CheckEmpty(ctx, s.store); err != nil {
			return out, err
		}
		seed, err := rootIn(rootFile)
		if err != nil {
			return out, err
		}
		root = &seed
	}
	made, err := tenancy.Init(ctx, s.store, s.custody, root)
	if err != nil {
		return out, err
	}
	out = NewRoot{PublicKey: made.Installation.RootKey, SigningKey: made.Installation.SigningKey, KeyFile: filepath.Join(s.dataDir, "operator.key")}
	if out.Operator, err = operatorJWT(ctx, s); err != nil {
		return out, err
	}
	s.log.InfoContext(ctx, "trust root made", slog.String("operator", out.PublicKey), slog.Bool("offline", root != nil))
	return out, write(out.KeyFile, made.FirstKey.Reveal())
}

// DetachRoot moves the seed of the root key out of the store, into a file. It
// returns the root's public key.
func DetachRoot(ctx context.Context, cfg Config, rootFile string) (public string, err error) {
	s, err := openForMaintenance(ctx, cfg)
	if s != nil {
		defer func() { err = errors.Join(err, s.Close()) }()
	}
	if err != nil {
		return "", err
	}
	seed, err := tenancy.RootSeed(ctx, s.store, s.custody)
	if err != nil {
		return "", err
	}
	if public, err = seed.PublicKey(); err != nil {
		return "", err
	}
	if err := write(rootFile, string(seed.Reveal())); err != nil {
		return "", rootFileError(rootFile, err)
	}
	if kept, err := ReadRoot(rootFile); err != nil || !sameKey(kept, public) {
		return "", errs.New(errs.Internal, "ROOT_NOT_WRITTEN", "the root's seed cannot be read back from %s, and stays where it is", rootFile).WithCause(err)
	}
	return public, tenancy.ForgetRoot(ctx, s.store)
}

func openForMaintenance(ctx context.Context, cfg Config) (*Server, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{log: cfg.Logger.With("component", "controlplane"), dataDir: cfg.DataDir}
	var err error
	s.dir, err = s.openStore(ctx, cfg)
	return s, err
}

func operatorJWT(ctx context.Context, s *Server) (string, error) {
	v, err := s.store.View(store.Everything(), "")
	if err != nil {
		return "", err
	}
	return v.Operator(ctx)
}

// rootIn takes the root key of a file, making both if there is none.
func rootIn(path string) (accounts.Seed, error) {
	seed, err := ReadRoot(path)
	if !errors.Is(err, os.ErrNotExist) {
		return seed, err
	}
	if seed, err = accounts.NewOperatorKey(); err != nil {
		return seed, err
	}
	if err := write(path, string(seed.Reveal())); err != nil {
		return seed, rootFileError(path, err)
	}
	return seed, nil
}

func rootFileError(path string, err error) error {
	return errs.New(errs.Invalid, "ROOT_FILE", "the root's seed cannot be written to %s", path).
		WithNext("name a file that is not there yet, in a directory that you can write to").WithCause(err)
}

// ReadRoot reads the seed of an operator's root key from a file that only its
// owner can read.
func ReadRoot(path string) (accounts.Seed, error) {
	info, err := os.Stat(path)
	if err != nil {
		return accounts.Seed{}, fmt.Errorf("read root key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return accounts.Seed{}, errs.New(errs.Denied, "ROOT_FILE", "others than its owner can read %s", path).WithNext("chmod 600 it, and think about who has read it")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return accounts.Seed{}, fmt.Errorf("read root key: %w", err)
	}
	defer clear(text)
	seed, err := accounts.ParseSeed([]byte(strings.TrimSpace(string(text))))
	if err != nil {
		return seed, err
	}
	if public, err := seed.PublicKey(); err != nil || !strings.HasPrefix(public, "O") {
		return accounts.Seed{}, errs.New(errs.Invalid, "INVALID_SEED", "%s holds no seed of an operator", path)
	}
	return seed, nil
}

func sameKey(seed accounts.Seed, public string) bool {
	got, err := seed.PublicKey()
	return err == nil && got == public
}
