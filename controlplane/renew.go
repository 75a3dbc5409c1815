package controlplane

import (
	"context"
	"errors"
	"log/slog"

	"github.com/coveymq/covey/controlplane/internal/fleet"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

// RenewSecrets seals anew, with the custodian of cfg, what its former custodians
// sealed, and returns how many secrets that were. Control planes on an etcd
// elsewhere may run meanwhile, if they have the same custodians; one with its etcd
// in its process must be stopped. After a failure it is run again.
func RenewSecrets(ctx context.Context, cfg Config) (renewed int, err error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return 0, err
	}
	s := &Server{log: cfg.Logger.With("component", "controlplane"), dataDir: cfg.DataDir}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.openStore(ctx, cfg); err != nil {
		return 0, err
	}
	renewed, err = tenancy.RenewSecrets(ctx, s.store, s.custody)
	if err != nil {
		return renewed, err
	}
	done, err := fleet.RenewAuthority(ctx, s.etcd.client, s.custody.Row(custodyOfFleet).Renew)
	if done {
		renewed++
	}
	s.log.InfoContext(ctx, "secrets sealed anew", slog.Int("renewed", renewed))
	return renewed, err
}
