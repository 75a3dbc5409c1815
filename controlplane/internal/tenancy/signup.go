package tenancy

import (
	"context"
	"errors"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// The names of what an organization begins with.
const (
	FirstAccount = "default"
	FirstUser    = "default"
)

// NewOrganization says who signs up.
type NewOrganization struct {
	ID            string
	DisplayName   string
	ContactEmail  string
	UserPublicKey string // empty: make a key pair
	Requester     string
}

// SignedUp is everything that an organization begins with.
type SignedUp struct {
	Organization store.Organization
	Account      store.Account
	User         store.User
	Issued       Issued
	Key          authn.Token // secret
	Operation    store.Operation
}

// OrganizationName returns the resource name of an organization.
func OrganizationName(id string) string { return "organizations/" + id }

// SignUp makes an organization, its first account with a default role, a first
// user, that user's credential and an owner's API key, in one change.
func (s *Service) SignUp(ctx context.Context, tx *store.Tx, method string, in NewOrganization) (SignedUp, error) {
	if err := accounts.ValidateOrganizationID(in.ID); err != nil {
		return SignedUp{}, err
	}
	if in.DisplayName == "" {
		in.DisplayName = in.ID
	}
	if err := accounts.ValidateDisplayName("display_name", in.DisplayName); err != nil {
		return SignedUp{}, err
	}
	out := SignedUp{Organization: store.Organization{
		ID: in.ID, UID: accounts.NewUID(accounts.PrefixOrganization, tx.Now), DisplayName: in.DisplayName,
		ContactEmail: in.ContactEmail, CreateTime: tx.Now, UpdateTime: tx.Now,
	}}
	err := tx.CreateOrg(ctx, out.Organization)
	if errors.Is(err, store.ErrExists) {
		err = taken("ORGANIZATION_EXISTS", "organization_id", OrganizationName(in.ID))
	}
	if err != nil {
		return SignedUp{}, err
	}
	if err := begin(ctx, tx); err != nil {
		return SignedUp{}, err
	}
	var role store.Role
	if out.Account, role, out.Operation, err = s.createAccount(ctx, tx, method, FirstAccount, AccountFields{}); err != nil {
		return SignedUp{}, err
	}
	if out.User, err = newUser(ctx, tx, FirstAccount, FirstUser, UserFields{Role: role.Name}); err != nil {
		return SignedUp{}, err
	}
	credential := NewCredential{PublicKey: in.UserPublicKey, Requester: in.Requester}
	if out.Issued, err = s.issue(ctx, tx, out.Account, out.User, role, credential); err != nil {
		return SignedUp{}, err
	}
	out.Key, err = firstKey(ctx, tx, in.Requester)
	return out, err
}

// firstKey makes the owner that an organization begins with, and its key.
func firstKey(ctx context.Context, tx *store.Tx, requester string) (authn.Token, error) {
	owner, err := newServiceAccount(ctx, tx, FirstServiceAccount, ServiceAccountFields{Bindings: []store.RoleBinding{{Role: authz.Owner}}})
	if err != nil {
		return authn.Token{}, err
	}
	made, err := makeKey(ctx, tx, Caller{Key: requester}, store.Holder{ServiceAccount: owner.ID}, NewKey{DisplayName: "sign-up", TTL: keyTTLMax})
	return made.Token, err
}

// createKey makes an API key of the operator.
func createKey(ctx context.Context, tx *store.Tx, role string) (authn.Token, error) {
	token, id, hash := authn.NewToken(tx.Now)
	return token, tx.CreateAPIKey(ctx, store.APIKey{ID: id, Hash: hash, Role: role, CreateTime: tx.Now})
}
