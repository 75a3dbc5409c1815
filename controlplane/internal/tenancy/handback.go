package tenancy

import (
	"context"
	"fmt"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// HandedBack is what an account needs elsewhere.
type HandedBack struct {
	PublicKey string
	Seeds     map[string]accounts.Seed // of its own key and its signing keys, by public key; only with the first page
	Users     []HandedBackUser
	Next      string // where the next page of users begins; "" after the last
}

// HandedBackUser is a user's JWT for the key of its latest good credential; ""
// if it has none, or is suspended: a JWT that is younger than its suspension
// would end it.
type HandedBackUser struct{ ID, JWT string }

// HandBack reads an account with its secrets, and one page of its users.
func (s *Service) HandBack(ctx context.Context, tx *store.Tx, account string, page store.Page) (HandedBack, error) {
	a, err := liveAccount(ctx, tx, account)
	if err != nil {
		return HandedBack{}, err
	}
	roles, err := tx.Roles(ctx, account)
	if err != nil {
		return HandedBack{}, err
	}
	out := HandedBack{PublicKey: a.PublicKey}
	if page.After == "" {
		if out.Seeds, err = s.seedsOf(ctx, a, roles); err != nil {
			return HandedBack{}, err
		}
	}
	r, err := tx.Revocations(ctx, account)
	if err != nil {
		return HandedBack{}, err
	}
	users, next, err := tx.Users(ctx, account, page)
	if err != nil {
		return HandedBack{}, err
	}
	out.Next = next
	for _, u := range users {
		text, err := s.handBackUser(ctx, tx, a, u, roles, r)
		if err != nil {
			return HandedBack{}, fmt.Errorf("user %s: %w", u.ID, err)
		}
		out.Users = append(out.Users, HandedBackUser{ID: u.ID, JWT: text})
	}
	return out, nil
}

// seedsOf opens the seeds of an account that are here.
func (s *Service) seedsOf(ctx context.Context, a store.Account, roles []store.Role) (map[string]accounts.Seed, error) {
	rows := map[string][]byte{rowName(a.PublicKey, useIdentity): a.SealedSeed, rowName(a.PublicKey, useDirect): a.SealedDirect}
	for _, k := range a.OtherKeys {
		rows[rowName(a.PublicKey, useDirect+"/"+k.PublicKey)] = k.SealedSeed
	}
	for _, role := range roles {
		for _, k := range role.Keys {
			rows[rowName(a.PublicKey, useRole+role.Name+"/"+k.PublicKey)] = k.SealedSeed
		}
	}
	seeds := map[string]accounts.Seed{}
	for row, sealed := range rows {
		if len(sealed) == 0 {
			continue // retired, or never here
		}
		text, err := s.custody.Unseal(ctx, row, sealed)
		if err != nil {
			return nil, err
		}
		seed, err := accounts.ParseSeed(text)
		clear(text)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", row, err)
		}
		public, err := seed.PublicKey()
		if err != nil {
			return nil, err
		}
		seeds[public] = seed
	}
	return seeds, nil
}

// handBackUser signs anew what a user's latest good credential says.
func (s *Service) handBackUser(ctx context.Context, tx *store.Tx, a store.Account, u store.User, roles []store.Role, r store.Revocations) (string, error) {
	if u.Suspended {
		return "", nil
	}
	issued, err := tx.AllCredentials(ctx, a.ID, u.ID)
	if err != nil {
		return "", err
	}
	keys := Issuers{a.DirectKey: true, a.PublicKey: true}
	var role store.Role
	for _, k := range a.OtherKeys {
		keys[k.PublicKey] = true
	}
	for _, of := range roles {
		for _, k := range liveKeys(of) {
			keys[k] = true
		}
		if of.Name == u.Role {
			role = of
		}
	}
	for _, c := range issued { // newest first
		if keys.LifeOf(c, r.Revocations, tx.Now) != Active {
			continue
		}
		signer, err := s.issuer(ctx, a, u, role)
		if err != nil {
			return "", err
		}
		token, err := accounts.SignUser(accounts.UserSpec{
			PublicKey: c.PublicKey, Name: u.ID, AccountKey: a.PublicKey, Permissions: u.Permissions, Expires: c.ExpireTime, Carried: u.Carried,
		}, signer)
		return token.JWT, err
	}
	return "", nil
}
