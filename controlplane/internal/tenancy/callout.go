package tenancy

import (
	"context"
	"slices"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// checkCallout refuses an authorization service that is not the organization's
// own: its users are the account's, and it puts users into accounts of the
// organization only.
func checkCallout(ctx context.Context, tx *store.Tx, a store.Account, c *accounts.Callout) error {
	if c == nil {
		return nil
	}
	const field = "account.auth_callout"
	if err := c.Validate(field); err != nil {
		return err
	}
	for _, key := range c.Users {
		held, err := tx.HoldsKey(ctx, a.ID, key)
		if err != nil {
			return err
		}
		if !held {
			return errs.New(errs.Precondition, "AUTH_CALLOUT_USER", "no user of the account has the public key %s", key).WithField(field + ".user_public_keys").
				WithNext("issue a credential first, and name its public key")
		}
	}
	for _, key := range c.Accounts {
		ours, err := tx.OwnsAccount(ctx, key)
		if err != nil {
			return err
		}
		if !ours {
			return errs.New(errs.Precondition, "AUTH_CALLOUT_ACCOUNT", "the organization has no account with the public key %s", key).
				WithField(field + ".allowed_account_public_keys")
		}
	}
	roles, err := tx.Roles(ctx, a.ID)
	if err != nil {
		return err
	}
	taken := []string{a.PublicKey, a.DirectKey}
	for _, k := range a.OtherKeys {
		taken = append(taken, k.PublicKey)
	}
	for _, r := range roles {
		taken = append(taken, liveKeys(r)...)
	}
	for _, key := range c.Issuers {
		if slices.Contains(taken, key) {
			return errs.New(errs.Invalid, "INVALID_AUTH_CALLOUT", "the account has the key %s already, for something else", key).WithField(field + ".issuer_public_keys").
				WithNext("make a key pair of its own for the service: `nk -gen account`")
		}
	}
	return nil
}
