package controlplane

import (
	"context"
	"errors"
	"fmt"

	"gocloud.dev/secrets"

	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// openCustody opens the custodian that seals secrets, and those that did before.
func openCustody(ctx context.Context, cfg Config, st *store.Store, dir *dataDir) (_ *custody.Custody, err error) {
	_, err = st.Installation(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("read installation: %w", err)
	}
	// A key file is made only while there is nothing that an older one could have
	// sealed, or when it is to follow another custodian.
	fresh := err != nil || len(cfg.FormerCustodians) > 0
	open := func(name string, create bool) (*secrets.Keeper, error) {
		if name == "" || name == custody.Local {
			return custody.OpenLocal(dir.join("custody.key"), create)
		}
		return custody.OpenRemote(ctx, name)
	}
	var all []*secrets.Keeper
	defer func() {
		if err != nil {
			for _, k := range all {
				err = errors.Join(err, k.Close())
			}
		}
	}()
	for i, name := range append([]string{cfg.Custodian}, cfg.FormerCustodians...) {
		k, err := open(name, i == 0 && fresh)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return custody.New(all[0], all[1:]...), nil
}
