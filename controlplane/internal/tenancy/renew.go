package tenancy

import (
	"context"
	"errors"
	"fmt"

	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// RenewSecrets seals every secret of tenants and of the trust root anew that the
// present custodian did not seal, an account at a time, and returns how many that
// were. Run again after a failure it goes on where it was.
func RenewSecrets(ctx context.Context, s *store.Store, c *custody.Custody) (int, error) {
	r := &renewal{store: s, custody: c}
	err := r.change(ctx, "", "installation", r.installation)
	if err == nil {
		err = r.change(ctx, "", "stockClusters", r.stockClusters)
	}
	if err != nil {
		return r.total, err
	}
	for page := (store.Page{Size: renewPage}); ; {
		orgs, next, err := s.Organizations(ctx, store.Everything(), page)
		if err != nil {
			return r.total, err
		}
		for _, o := range orgs {
			if err := r.organization(ctx, o.ID); err != nil {
				return r.total, err
			}
		}
		if page.After = next; next == "" {
			return r.total, nil
		}
	}
}

const renewPage = 500

type renewal struct {
	store   *store.Store
	custody *custody.Custody
	total   int
}

func (r *renewal) organization(ctx context.Context, id string) error {
	if err := r.change(ctx, id, "organizations/"+id+"/alertPolicies", r.alertPolicies); err != nil {
		return err
	}
	for page := (store.Page{Size: renewPage}); ; {
		v, err := r.store.View(store.Everything(), id)
		if err != nil {
			return err
		}
		list, next, err := v.Accounts(ctx, page)
		if err != nil {
			return err
		}
		for _, a := range list {
			err := r.change(ctx, id, "organizations/"+id+"/accounts/"+a.ID, func(ctx context.Context, tx *store.Tx, t *tally) error {
				return r.account(ctx, tx, t, a.ID)
			})
			if err != nil {
				return err
			}
		}
		if page.After = next; next == "" {
			return nil
		}
	}
}

// tally counts what one change renewed.
type tally int

// change looks first, without a write, and makes a change, with its audit entry,
// only if something is to be renewed.
func (r *renewal) change(ctx context.Context, organization, target string, f func(context.Context, *store.Tx, *tally) error) error {
	c := store.Change{Scope: store.Everything(), Organization: organization, Actor: "system", Method: "RenewSecrets", Target: target, DryRun: true}
	for _, dry := range []bool{true, false} {
		c.DryRun = dry
		n, _, err := store.Update(ctx, r.store, c, func(ctx context.Context, tx *store.Tx) (tally, store.Outcome, error) {
			var n tally
			err := f(ctx, tx, &n)
			return n, store.Outcome{}, err
		})
		if err != nil {
			return fmt.Errorf("renew the secrets of %s: %w", target, err)
		}
		if n == 0 {
			return nil
		}
		if !dry {
			r.total += int(n)
		}
	}
	return nil
}

func (r *renewal) row(ctx context.Context, t *tally, name string, sealed *[]byte) error {
	if len(*sealed) == 0 {
		return nil // retired, or kept offline
	}
	again, renewed, err := r.custody.Renew(ctx, name, *sealed)
	if renewed {
		*sealed = again
		*t++
	}
	return err
}

func (r *renewal) installation(ctx context.Context, tx *store.Tx, t *tally) error {
	i, err := tx.Installation(ctx)
	if err != nil {
		return err
	}
	for _, s := range []struct {
		row    string
		sealed *[]byte
	}{{rowRoot, &i.SealedRoot}, {rowSigning, &i.SealedSigning}, {rowName(i.SystemAccount, useIdentity), &i.SealedSystem}} {
		if err := r.row(ctx, t, s.row, s.sealed); err != nil {
			return err
		}
	}
	for k := range i.Keys {
		if err := r.row(ctx, t, rowStaged(i.Keys[k].PublicKey), &i.Keys[k].SealedSeed); err != nil {
			return err
		}
	}
	if *t == 0 {
		return nil
	}
	return tx.PutInstallation(i)
}

func (r *renewal) stockClusters(ctx context.Context, tx *store.Tx, t *tally) error {
	all, err := tx.StockClusters(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		before := *t
		if err := r.row(ctx, t, stockKeyRow(c.ID), &c.SealedKey); err != nil {
			return err
		}
		if err := r.row(ctx, t, stockCredsRow(c.ID), &c.SealedCreds); err != nil {
			return err
		}
		if *t == before {
			continue
		}
		if err := tx.PutStockCluster(c); err != nil {
			return err
		}
	}
	return nil
}

func (r *renewal) alertPolicies(ctx context.Context, tx *store.Tx, t *tally) error {
	all, err := tx.AllAlertPolicies(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		before := *t
		if err := r.row(ctx, t, alertHookRow(p.UID), &p.SealedHook); err != nil {
			return err
		}
		if *t == before {
			continue
		}
		if err := tx.PutAlertPolicy(p); err != nil {
			return err
		}
	}
	return nil
}

func (r *renewal) account(ctx context.Context, tx *store.Tx, t *tally, id string) error {
	a, err := tx.Account(ctx, id)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return nil // purged meanwhile
		}
		return err
	}
	if err := r.row(ctx, t, rowName(a.PublicKey, useIdentity), &a.SealedSeed); err != nil {
		return err
	}
	if err := r.row(ctx, t, rowName(a.PublicKey, useDirect), &a.SealedDirect); err != nil {
		return err
	}
	for i := range a.OtherKeys {
		if err := r.row(ctx, t, rowName(a.PublicKey, useDirect+"/"+a.OtherKeys[i].PublicKey), &a.OtherKeys[i].SealedSeed); err != nil {
			return err
		}
	}
	if *t > 0 {
		if err := tx.PutAccount(a); err != nil {
			return err
		}
	}
	return r.roles(ctx, tx, t, a)
}

func (r *renewal) roles(ctx context.Context, tx *store.Tx, t *tally, a store.Account) error {
	roles, err := tx.Roles(ctx, a.ID)
	if err != nil {
		return err
	}
	for _, role := range roles {
		before := *t
		for i := range role.Keys {
			key := &role.Keys[i]
			if err := r.row(ctx, t, rowName(a.PublicKey, useRole+role.Name+"/"+key.PublicKey), &key.SealedSeed); err != nil {
				return err
			}
		}
		if *t == before {
			continue
		}
		if err := tx.PutRole(a.ID, role); err != nil {
			return err
		}
	}
	return nil
}
