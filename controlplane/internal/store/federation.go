package store

import (
	"context"
	"time"
)

// FederationPolicy says whose tokens are exchanged for credentials of a user.
type FederationPolicy struct {
	Stored

	ID            string            `json:"id"`
	UID           string            `json:"uid"`
	Account       string            `json:"account"`
	Issuer        string            `json:"issuer"`
	Audience      string            `json:"audience"`
	Claims        map[string]string `json:"claims"`
	User          string            `json:"user"`
	MaxTTLSeconds int64             `json:"max_ttl_seconds"`
	CreateTime    time.Time         `json:"create_time"`
}

// FederationPolicy reads one policy of an account.
func (v *View) FederationPolicy(ctx context.Context, account, id string) (FederationPolicy, error) {
	var p FederationPolicy
	return p, v.load(ctx, v.orgKey("federation/%s/%s", account, id), &p)
}

// FederationPolicies lists the policies of an account by id.
func (v *View) FederationPolicies(ctx context.Context, account string, p Page) ([]FederationPolicy, string, error) {
	return loadPage[FederationPolicy](ctx, v, v.orgKey("federation/%s/", account), p)
}

// AllFederationPolicies reads all policies of an account.
func (v *View) AllFederationPolicies(ctx context.Context, account string) ([]FederationPolicy, error) {
	return loadAll[FederationPolicy](ctx, v, v.orgKey("federation/%s/", account))
}

// CreateFederationPolicy puts a new policy.
func (t *Tx) CreateFederationPolicy(ctx context.Context, p FederationPolicy) error {
	return t.create(ctx, t.orgKey("federation/%s/%s", p.Account, p.ID), p)
}

// DeleteFederationPolicy removes a policy.
func (t *Tx) DeleteFederationPolicy(p FederationPolicy) {
	t.remove(t.orgKey("federation/%s/%s", p.Account, p.ID))
}
