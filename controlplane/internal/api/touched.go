package api

import (
	"context"
	"slices"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

// touchesAccount is all of an account: its clients and its credentials.
func (s *Server) touchesAccount(ctx context.Context, v *store.View, a store.Account) (touched, error) {
	all, err := s.tenancy.GoodCredentials(ctx, v, a.ID, "", time.Now())
	return touched{clients: []clients{allOf(v.Organization(), a)}, credentials: credentialNames(v.Organization(), all)}, err
}

// touchesAccountAndImporters is touchesAccount, and what others take from it: who
// imports without an offer, and offers that are not over. An offer names who took
// it; which account of another organization has which import, only the staff sees.
func (s *Server) touchesAccountAndImporters(ctx context.Context, v *store.View, id string) (touched, error) {
	a, err := v.Account(ctx, id)
	if err != nil {
		return touched{}, err
	}
	t, err := s.touchesAccount(ctx, v, a)
	if err != nil {
		return t, err
	}
	exports, err := v.AllExports(ctx, id)
	if err != nil {
		return t, err
	}
	for _, e := range exports {
		refs, err := v.Importers(ctx, id, e.ID)
		if err != nil {
			return t, err
		}
		refs = slices.DeleteFunc(refs, func(r store.ImportRef) bool { return r.Account == id })
		t.dependents = append(t.dependents, s.reachable(ctx, v.Organization(), refs)...)
	}
	offers, err := v.AllOffers(ctx, id)
	if err != nil {
		return t, err
	}
	staff := callOf(ctx).principal.Scope().Covers("")
	for _, o := range offers {
		if life := tenancy.ShareLifeOf(o, time.Now()); life != tenancy.ShareOffered && life != tenancy.ShareAccepted {
			continue
		}
		t.dependents = append(t.dependents, tenancy.OfferName(o))
		for _, i := range o.Imports {
			if staff {
				t.dependents = append(t.dependents, tenancy.ImportName(o.TargetOrganization, o.TargetAccount, i))
			}
		}
	}
	return t, nil
}

func allOf(organization string, a store.Account) clients {
	return clients{ConnectionSelection: ConnectionSelection{Account: a.PublicKey}, name: tenancy.AccountName(organization, a.ID)}
}

// touchesUser are all credentials of a user and who uses them.
func (s *Server) touchesUser(ctx context.Context, v *store.View, account, user string) (touched, error) {
	return s.touchesCredentials(ctx, v, account, user, func(store.Credential) bool { return true })
}

// touchesCredentials are some credentials of a user, or of all of an account if it
// is "", and who uses them.
func (s *Server) touchesCredentials(ctx context.Context, v *store.View, account, user string, which func(store.Credential) bool) (touched, error) {
	a, err := v.Account(ctx, account)
	if err != nil {
		return touched{}, err
	}
	all, err := s.tenancy.GoodCredentials(ctx, v, account, user, time.Now())
	if err != nil {
		return touched{}, err
	}
	all = slices.DeleteFunc(all, func(c store.Credential) bool { return !which(c) })
	t := touched{credentials: credentialNames(v.Organization(), all)}
	if len(all) == 0 {
		return t, nil // no selection: an empty one would be the whole account
	}
	c := allOf(v.Organization(), a)
	for _, one := range all {
		if !slices.Contains(c.Users, one.PublicKey) {
			c.Users = append(c.Users, one.PublicKey)
		}
	}
	t.clients = []clients{c}
	return t, nil
}

// touchesKeys are the credentials that signing keys of an account have signed, and
// who uses them.
func (s *Server) touchesKeys(ctx context.Context, v *store.View, account string, keys []string) (touched, error) {
	a, err := v.Account(ctx, account)
	if err != nil || len(keys) == 0 {
		return touched{}, err
	}
	all, err := s.tenancy.GoodCredentials(ctx, v, account, "", time.Now())
	if err != nil {
		return touched{}, err
	}
	all = slices.DeleteFunc(all, func(c store.Credential) bool { return !slices.Contains(keys, c.IssuerKey) })
	c := allOf(v.Organization(), a)
	c.Issuers = keys
	return touched{clients: []clients{c}, credentials: credentialNames(v.Organization(), all)}, nil
}

// touchesConnections are the clients that an account may no longer have when it
// becomes after.
func touchesConnections(ctx context.Context, tx *store.Tx, after store.Account) (touched, error) {
	before, err := tx.Account(ctx, after.ID)
	if err != nil {
		return touched{}, err
	}
	standing, err := tenancy.StandingOf(ctx, tx)
	if err != nil {
		return touched{}, err
	}
	was, is := standing.Connections(before), standing.Connections(after)
	if is == nil || was != nil && *is >= *was {
		return touched{}, nil
	}
	c := allOf(tx.Organization(), after)
	c.limit = is
	return touched{clients: []clients{c}}, nil
}

// credentialsLooked is of how many accounts all credentials are read for a preview.
const credentialsLooked = 200

// touchesOrganization are all clients of all accounts of an organization.
func (s *Server) touchesOrganization(ctx context.Context, v *store.View) (touched, error) {
	all, err := v.AllAccounts(ctx)
	if err != nil {
		return touched{}, err
	}
	t := touched{unknown: len(all) > credentialsLooked}
	for _, a := range all {
		t.clients = append(t.clients, allOf(v.Organization(), a))
		if t.unknown {
			continue
		}
		good, err := s.tenancy.GoodCredentials(ctx, v, a.ID, "", time.Now())
		if err != nil {
			return touched{}, err
		}
		t.credentials = append(t.credentials, credentialNames(v.Organization(), good)...)
	}
	return t, nil
}

// touchesHolder are the API keys of a service account or a member.
func touchesHolder(ctx context.Context, v *store.View, h store.Holder, now time.Time) (touched, error) {
	keys, err := v.Keys(ctx, h)
	var t touched
	for _, k := range keys {
		t.apiKeys = append(t.apiKeys, acceptedKey(k, now)...)
	}
	return t, err
}

// acceptedKey is the name of a key that is accepted, and nothing of another.
func acceptedKey(k store.APIKey, now time.Time) []string {
	if k.Disabled || tenancy.KeyExpired(k, now) {
		return nil
	}
	return []string{tenancy.KeyName(k)}
}

func credentialNames(organization string, all []store.Credential) []string {
	names := make([]string, 0, len(all))
	for _, c := range all {
		names = append(names, tenancy.CredentialName(organization, c))
	}
	return names
}
