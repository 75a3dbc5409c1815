package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

const (
	alertPoliciesMax = 50 // of one organization
	hookSecretMin    = 16
)

// Severities are how much an alert may matter; the first is what a policy has that
// says nothing.
func Severities() []string { return []string{"warning", "info", "error", "critical"} }

// AlertHook is where notifications are posted. Both are secrets.
type AlertHook struct {
	URL    string `json:"url"`
	Secret string `json:"secret,omitempty"`
}

// AlertPolicyFields are the writable fields of a policy. A nil hook is the one
// that the policy has, an empty one is none.
type AlertPolicyFields struct {
	DisplayName, Severity string
	Rule                  accounts.AlertRule
	Hook                  *AlertHook
	Disabled              bool
}

// AlertPolicyName returns the resource name of a policy.
func AlertPolicyName(organization, id string) string {
	return OrganizationName(organization) + "/alertPolicies/" + id
}

// AlertName returns the resource name of an alert.
func AlertName(organization, id string) string {
	return OrganizationName(organization) + "/alerts/" + id
}

// CreateAlertPolicy looks at a metric, of one account or of each, from now on.
func (s *Service) CreateAlertPolicy(ctx context.Context, tx *store.Tx, id, metric, account string, f AlertPolicyFields) (store.AlertPolicy, error) {
	if err := accounts.ValidateAlertPolicyID(id); err != nil {
		return store.AlertPolicy{}, err
	}
	m, err := accounts.AlertMetricOf(metric)
	if err != nil {
		return store.AlertPolicy{}, err
	}
	all, err := tx.AllAlertPolicies(ctx)
	if err != nil {
		return store.AlertPolicy{}, err
	}
	if len(all) >= alertPoliciesMax {
		return store.AlertPolicy{}, errs.New(errs.Exhausted, "ALERT_POLICY_QUOTA", "the organization has %d alert policies, and no more are allowed", len(all)).
			WithNext("delete one, or give one several limit_percents")
	}
	p := store.AlertPolicy{ID: id, UID: accounts.NewUID(accounts.PrefixAlertPolicy, tx.Now), Metric: metric, Account: account, CreateTime: tx.Now}
	if err := s.applyAlertPolicy(ctx, tx, &p, f); err != nil {
		return store.AlertPolicy{}, err
	}
	if err := checkWatched(ctx, tx, m, p); err != nil {
		return store.AlertPolicy{}, err
	}
	err = tx.CreateAlertPolicy(ctx, p)
	if errors.Is(err, store.ErrExists) {
		err = taken("ALERT_POLICY_EXISTS", "alert_policy_id", AlertPolicyName(tx.Organization(), id))
	}
	return p, err
}

// checkWatched checks that what a policy names is there, and has what a percentage
// is of.
func checkWatched(ctx context.Context, tx *store.Tx, m accounts.AlertMetric, p store.AlertPolicy) error {
	standing, err := StandingOf(ctx, tx)
	if err != nil || p.Account == "" {
		return err
	}
	if m.Organization {
		return errs.New(errs.Invalid, "METRIC_OF_ORGANIZATION", "%s are of the organization, not of an account", m.Name).WithField("alert_policy.account").
			WithNext("leave the account out")
	}
	a, err := liveAccount(ctx, tx, p.Account)
	if errors.Is(err, store.ErrNotFound) {
		err = errs.New(errs.Precondition, "ACCOUNT_NOT_FOUND", "there is no account %q", p.Account).WithField("alert_policy.account")
	}
	if err != nil || len(p.Rule.Percents) == 0 || standing.AlertLimit(m, &a) != nil {
		return err
	}
	return errs.New(errs.Precondition, "LIMIT_MISSING", "the account %q has no limit of %s that a percentage could be of", p.Account, m.Name).
		WithField("alert_policy.limit_percents").WithNext("give fixed_value, or give the account a limit first")
}

// AlertLimit returns the limit in force of what a metric counts; nil is none. Of an
// organization's own, a is not looked at. A suspension is no limit in this sense.
func (s Standing) AlertLimit(m accounts.AlertMetric, a *store.Account) *int64 {
	if !m.Limited {
		return nil
	}
	if m.Organization {
		most, _ := s.Terms.Terms.Count(m.Name, s.Terms.Overrides)
		return most
	}
	k, _ := accounts.LimitKindOf(m.Name)
	for _, e := range s.Terms.Terms.Effective(a.Limits, s.Terms.Overrides, a.Overrides) {
		if e.Name == k.Name && e.Value != nil {
			return &e.Value.Amount
		}
	}
	return nil
}

// applyAlertPolicy checks fields and puts them into a policy.
func (s *Service) applyAlertPolicy(ctx context.Context, tx *store.Tx, p *store.AlertPolicy, f AlertPolicyFields) error {
	m, err := accounts.AlertMetricOf(p.Metric)
	if err != nil {
		return err
	}
	if err := accounts.ValidateDisplayName("alert_policy.display_name", f.DisplayName); err != nil {
		return err
	}
	if p.Rule, err = f.Rule.Check(m); err != nil {
		return err
	}
	if f.Severity == "" {
		f.Severity = Severities()[0]
	}
	if !slices.Contains(Severities(), f.Severity) {
		return errs.New(errs.Invalid, "INVALID_FIELD", "there is no severity %q", f.Severity).WithField("alert_policy.severity")
	}
	p.DisplayName, p.Severity, p.Disabled, p.UpdateTime = f.DisplayName, f.Severity, f.Disabled, tx.Now
	if f.Hook == nil {
		return nil
	}
	p.Host, p.Signed, p.SealedHook = "", false, nil
	if *f.Hook == (AlertHook{}) {
		return nil
	}
	if p.Host, err = f.Hook.check(); err != nil {
		return err
	}
	p.Signed = f.Hook.Secret != ""
	text, err := json.Marshal(f.Hook) //nolint:gosec // it is sealed
	if err != nil {
		return fmt.Errorf("encode webhook: %w", err)
	}
	if p.SealedHook, err = s.custody.Seal(ctx, alertHookRow(p.UID), text); err != nil {
		return fmt.Errorf("seal webhook: %w", err)
	}
	return nil
}

func alertHookRow(uid string) string { return "alert/" + uid + "/webhook" }

// check says what is wrong with a webhook, if anything, and returns its host. The
// address is in no error: it may hold a secret.
func (h AlertHook) check() (host string, err error) {
	u, err := url.Parse(h.URL)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" {
		return "", errs.New(errs.Invalid, "INVALID_WEBHOOK", "the webhook's URL is not an https address").WithField("alert_policy.webhook.url").
			WithNext("it looks like https://example.com/hook")
	}
	if h.Secret != "" && len(h.Secret) < hookSecretMin {
		return "", errs.New(errs.Invalid, "INVALID_WEBHOOK", "the webhook's secret is shorter than %d bytes", hookSecretMin).WithField("alert_policy.webhook.secret")
	}
	return u.Host, nil
}

// OpenAlertHook opens where a policy's notifications are posted. ok is false if
// it has no webhook.
func OpenAlertHook(ctx context.Context, c *custody.Custody, p store.AlertPolicy) (h AlertHook, ok bool, err error) {
	if len(p.SealedHook) == 0 {
		return h, false, nil
	}
	text, err := c.Unseal(ctx, alertHookRow(p.UID), p.SealedHook)
	if err != nil {
		return h, false, err
	}
	defer clear(text)
	if err := json.Unmarshal(text, &h); err != nil {
		return h, false, errors.New("the sealed webhook is not one")
	}
	return h, true, nil
}

// UpdateAlertPolicy changes writable fields. What is looked at stays.
func (s *Service) UpdateAlertPolicy(ctx context.Context, tx *store.Tx, id, etag string, change func(*AlertPolicyFields) error) (store.AlertPolicy, error) {
	p, err := tx.AlertPolicy(ctx, id)
	if err != nil {
		return p, err
	}
	if err := checkEtag(etag, p.Revision); err != nil {
		return p, err
	}
	f := AlertPolicyFields{DisplayName: p.DisplayName, Severity: p.Severity, Rule: p.Rule, Disabled: p.Disabled}
	if err := change(&f); err != nil {
		return p, err
	}
	hadPercents := len(p.Rule.Percents) > 0
	if err := s.applyAlertPolicy(ctx, tx, &p, f); err != nil {
		return p, err
	}
	if !hadPercents && len(p.Rule.Percents) > 0 {
		m, err := accounts.AlertMetricOf(p.Metric)
		if err != nil {
			return p, err
		}
		if err := checkWatched(ctx, tx, m, p); err != nil {
			return p, err
		}
	}
	return p, tx.PutAlertPolicy(p)
}

// DeleteAlertPolicy looks no more.
func (s *Service) DeleteAlertPolicy(ctx context.Context, tx *store.Tx, id, etag string) error {
	p, err := tx.AlertPolicy(ctx, id)
	if err != nil {
		return err
	}
	if err := checkEtag(etag, p.Revision); err != nil {
		return err
	}
	return tx.DeleteAlertPolicy(id)
}

// endAlertPolicies ends the policies of an account that ends: another account may
// get its name.
func endAlertPolicies(ctx context.Context, tx *store.Tx, account string) error {
	all, err := tx.AllAlertPolicies(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Account != account {
			continue
		}
		if err := tx.DeleteAlertPolicy(p.ID); err != nil {
			return err
		}
	}
	return nil
}
