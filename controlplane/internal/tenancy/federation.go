package tenancy

import (
	"context"
	"errors"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/federation"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

const (
	federationPoliciesMax = 50 // of one account
	federatedTTLDefault   = 15 * time.Minute
	federatedTTLMin       = time.Minute
)

// NewFederationPolicy says whose tokens to take for which user.
type NewFederationPolicy struct {
	Issuer, Audience string
	Claims           map[string]string
	User             string
	MaxTTL           time.Duration // zero: federatedTTLDefault
}

// FederationPolicyName returns the resource name of a policy.
func FederationPolicyName(organization, account, id string) string {
	return AccountName(organization, account) + "/federationPolicies/" + id
}

// CreateFederationPolicy takes an issuer's tokens from now on.
func (s *Service) CreateFederationPolicy(ctx context.Context, tx *store.Tx, account, id string, in NewFederationPolicy) (store.FederationPolicy, error) {
	if err := errors.Join(accounts.ValidateFederationPolicyID(id), federation.ValidateIssuer(in.Issuer)); err != nil {
		return store.FederationPolicy{}, err
	}
	if in.MaxTTL == 0 {
		in.MaxTTL = federatedTTLDefault
	}
	if in.MaxTTL < federatedTTLMin {
		return store.FederationPolicy{}, errs.New(errs.Invalid, "INVALID_TTL", "credentials live a minute at least").WithField("federation_policy.max_ttl_seconds")
	}
	if _, err := liveAccount(ctx, tx, account); err != nil {
		return store.FederationPolicy{}, err
	}
	_, err := tx.User(ctx, account, in.User)
	if errors.Is(err, store.ErrNotFound) {
		err = errs.New(errs.Precondition, "USER_NOT_FOUND", "the account has no user %q", in.User).WithField("federation_policy.user")
	}
	if err != nil {
		return store.FederationPolicy{}, err
	}
	all, err := tx.AllFederationPolicies(ctx, account)
	if err != nil {
		return store.FederationPolicy{}, err
	}
	if len(all) >= federationPoliciesMax {
		return store.FederationPolicy{}, errs.New(errs.Exhausted, "FEDERATION_QUOTA", "the account %q has %d federation policies, and no more are allowed", account, len(all)).
			WithNext("delete one")
	}
	p := store.FederationPolicy{
		ID: id, UID: accounts.NewUID(accounts.PrefixFederation, tx.Now), Account: account, Issuer: in.Issuer, Audience: in.Audience,
		Claims: in.Claims, User: in.User, MaxTTLSeconds: int64(in.MaxTTL / time.Second), CreateTime: tx.Now,
	}
	err = tx.CreateFederationPolicy(ctx, p)
	if errors.Is(err, store.ErrExists) {
		err = taken("FEDERATION_POLICY_EXISTS", "federation_policy_id", FederationPolicyName(tx.Organization(), account, id))
	}
	return p, err
}

// DeleteFederationPolicy takes no more tokens by a policy.
func (s *Service) DeleteFederationPolicy(ctx context.Context, tx *store.Tx, account, id, etag string) error {
	p, err := tx.FederationPolicy(ctx, account, id)
	if err != nil {
		return err
	}
	if err := checkEtag(etag, p.Revision); err != nil {
		return err
	}
	tx.DeleteFederationPolicy(p)
	return nil
}

// Exchange issues a credential to who brought a token that a policy takes. The
// policy is the one that the token was compared with: one that was made anew
// meanwhile is another.
func (s *Service) Exchange(ctx context.Context, tx *store.Tx, p store.FederationPolicy, in NewCredential) (Issued, error) {
	now, err := tx.FederationPolicy(ctx, p.Account, p.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && now.UID != p.UID {
		return Issued{}, federation.ErrRefused
	}
	if err != nil {
		return Issued{}, err
	}
	longest := time.Duration(p.MaxTTLSeconds) * time.Second
	switch {
	case in.TTL == 0:
		in.TTL = longest
	case in.TTL > longest:
		return Issued{}, errs.New(errs.Invalid, "INVALID_TTL", "credentials of this policy live %v at most", longest).WithField("ttl_seconds")
	}
	out, err := s.IssueCredential(ctx, tx, p.Account, p.User, in)
	if errors.Is(err, store.ErrNotFound) { // the user is gone
		err = federation.ErrRefused
	}
	return out, err
}
