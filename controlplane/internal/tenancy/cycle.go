package tenancy

import (
	"context"
	"errors"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// checkCycle refuses an import through which what an account sends would come back
// to it, also by way of other organizations. What it finds there is told to nobody
// but as a refusal. A changed export is looked at as it will be.
func checkCycle(ctx context.Context, v *store.View, importer string, i store.Import, changed ...store.Export) error {
	seen := map[string]accounts.Sharer{}
	return accounts.CheckCycle(importer, importSpec(i), func(account string) (accounts.Sharer, error) {
		if side, ok := seen[account]; ok {
			return side, nil
		}
		exports, imports, owner, err := v.SharingOf(ctx, account)
		if err != nil {
			return accounts.Sharer{}, err
		}
		var side accounts.Sharer
		for _, e := range exports {
			for _, c := range changed {
				if owner.Organization == v.Organization() && c.Account == e.Account && c.ID == e.ID {
					e = c
				}
			}
			side.Exports = append(side.Exports, exportSpec(e))
		}
		for _, i := range imports {
			side.Imports = append(side.Imports, importSpec(i))
		}
		seen[account] = side
		return side, nil
	})
}

// inCycle is checkCycle for who only wants to know.
func inCycle(ctx context.Context, v *store.View, importer string, i store.Import, changed ...store.Export) (bool, error) {
	err := checkCycle(ctx, v, importer, i, changed...)
	if errors.Is(err, accounts.ErrCycle) {
		return true, nil
	}
	return false, err
}

// checkImport refuses an import that servers refuse beside the account's others.
func checkImport(ctx context.Context, v *store.View, a store.Account, i store.Import, others []store.Import) error {
	specs := make([]accounts.Import, len(others))
	for k, o := range others {
		specs[k] = importSpec(o)
	}
	if err := accounts.CheckOverlap(importSpec(i), specs); err != nil {
		return err
	}
	return checkCycle(ctx, v, a.PublicKey, i)
}
