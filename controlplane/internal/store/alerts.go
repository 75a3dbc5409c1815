package store

import (
	"context"
	"strconv"
	"time"

	"github.com/coveymq/covey/accounts"
)

// AlertPolicy says what of an organization is looked at, and whom to tell.
type AlertPolicy struct {
	Stored

	ID          string             `json:"id"`
	UID         string             `json:"uid"`
	DisplayName string             `json:"display_name,omitempty"`
	Metric      string             `json:"metric"`
	Account     string             `json:"account,omitempty"` // none is each account for itself
	Rule        accounts.AlertRule `json:"rule"`
	Severity    string             `json:"severity"`
	Disabled    bool               `json:"disabled,omitempty"`
	Host        string             `json:"host,omitempty"` // of the webhook; none is no webhook
	Signed      bool               `json:"signed,omitempty"`
	SealedHook  []byte             `json:"sealed_webhook,omitempty"`
	CreateTime  time.Time          `json:"create_time"`
	UpdateTime  time.Time          `json:"update_time"`
}

// The states of an alert.
const (
	AlertOpen         = "open"
	AlertAcknowledged = "acknowledged"
	AlertClosed       = "closed"
)

// Alert is a threshold that was reached.
type Alert struct {
	Stored

	ID              string                  `json:"id"`
	Policy          string                  `json:"policy"`
	PolicyUID       string                  `json:"policy_uid"`
	Metric          string                  `json:"metric"`
	Account         string                  `json:"account,omitempty"`
	AccountUID      string                  `json:"account_uid,omitempty"`
	Severity        string                  `json:"severity"`
	State           string                  `json:"state"`
	Threshold       accounts.AlertThreshold `json:"threshold"`
	At              int64                   `json:"at"` // the value from which on it is reached
	Limit           *int64                  `json:"limit,omitempty"`
	Value           int64                   `json:"value"`
	Period          string                  `json:"period,omitempty"`
	OpenTime        time.Time               `json:"open_time"`
	AcknowledgeTime time.Time               `json:"acknowledge_time,omitzero"`
	Acknowledger    string                  `json:"acknowledger,omitempty"`
	Note            string                  `json:"note,omitempty"`
	CloseTime       time.Time               `json:"close_time,omitzero"`
	CloseReason     string                  `json:"close_reason,omitempty"`
	Notes           []AlertNote             `json:"notes,omitempty"`
}

// What receivers are told.
const (
	AlertOpenedEvent = "alert.opened"
	AlertClosedEvent = "alert.closed"
)

// How far that is.
const (
	NotePending   = "pending"
	NoteDelivered = "delivered"
	NoteFailed    = "failed"
)

// AlertNote is one thing that a receiver is told of an alert.
type AlertNote struct {
	Type     string    `json:"type"`
	State    string    `json:"state"`
	Attempts int       `json:"attempts,omitempty"`
	Last     time.Time `json:"last,omitzero"`
	Error    string    `json:"error,omitempty"`
}

// AlertMark remembers of one threshold, of one policy and subject, that it is
// reached: since when, and which alert that made. Of a month it stays until the
// month is over, so that there is one alert of it.
type AlertMark struct {
	Stored

	Policy     string                  `json:"policy"`
	PolicyUID  string                  `json:"policy_uid"`
	Account    string                  `json:"account,omitempty"`
	AccountUID string                  `json:"account_uid,omitempty"`
	Threshold  accounts.AlertThreshold `json:"threshold"`
	Period     string                  `json:"period,omitempty"`
	Since      time.Time               `json:"since"`
	Alert      string                  `json:"alert,omitempty"`  // none: it is not reached for long enough
	Closed     bool                    `json:"closed,omitempty"` // the alert is, and there is no other one in the period
}

// Key tells marks of one organization apart.
func (m AlertMark) Key() AlertMarkKey {
	return AlertMarkKey{m.PolicyUID, m.Account, m.Threshold}
}

// AlertMarkKey is what a mark is of.
type AlertMarkKey struct {
	PolicyUID, Account string
	Threshold          accounts.AlertThreshold
}

func (k AlertMarkKey) segment() string {
	account := k.Account
	if account == "" {
		account = noChain
	}
	if k.Threshold.Percent != 0 {
		return k.PolicyUID + "/" + account + "/p" + strconv.Itoa(int(k.Threshold.Percent))
	}
	return k.PolicyUID + "/" + account + "/v" + strconv.FormatInt(k.Threshold.Fixed, 10)
}

// alertingRef says that an organization has alert policies, or alerts.
type alertingRef struct {
	Stored
	Organization string `json:"organization"`
}

// alertNoteRef says that a receiver has not been told yet.
type alertNoteRef struct {
	Stored
	Organization string `json:"organization"`
	Alert        string `json:"alert"`
	Policy       string `json:"policy"`
	Type         string `json:"type"`
}

func alertingPrefix() string            { return root + "idx/alerting/" }
func alertingKey(org string) string     { return alertingPrefix() + org }
func alertNotePrefix() string           { return root + "idx/alert-note/" }
func (v *View) alertPrefix() string     { return v.orgKey("alert/") }
func (v *View) alertMarkPrefix() string { return v.orgKey("alert-mark/") }

func (v *View) alertKey(id string) string { return v.alertPrefix() + accounts.NewestFirst(id) }

func (v *View) alertMarkKey(k AlertMarkKey) string { return v.alertMarkPrefix() + k.segment() }

// alertNoteKey sorts what is told of an alert in the order in which it happened.
func alertNoteKey(org, alert, kind string) string {
	order := "0"
	if kind == AlertClosedEvent {
		order = "1"
	}
	return alertNotePrefix() + org + "/" + alert + "/" + order
}

// AlertPolicy reads one policy.
func (v *View) AlertPolicy(ctx context.Context, id string) (AlertPolicy, error) {
	var p AlertPolicy
	return p, v.load(ctx, v.orgKey("alert-policy/%s", id), &p)
}

// AlertPolicies lists the policies by id.
func (v *View) AlertPolicies(ctx context.Context, p Page) ([]AlertPolicy, string, error) {
	return loadPage[AlertPolicy](ctx, v, v.orgKey("alert-policy/"), p)
}

// AllAlertPolicies reads all policies. A Tx that commits conflicts with whichever
// was added or changed meanwhile.
func (v *View) AllAlertPolicies(ctx context.Context) ([]AlertPolicy, error) {
	return loadAll[AlertPolicy](ctx, v, v.orgKey("alert-policy/"))
}

// CreateAlertPolicy puts a new policy, and has the organization be looked at.
func (t *Tx) CreateAlertPolicy(ctx context.Context, p AlertPolicy) error {
	if err := t.create(ctx, t.orgKey("alert-policy/%s", p.ID), p); err != nil {
		return err
	}
	return t.put(alertingKey(t.org), alertingRef{Organization: t.org})
}

// PutAlertPolicy replaces a policy that was read.
func (t *Tx) PutAlertPolicy(p AlertPolicy) error { return t.put(t.orgKey("alert-policy/%s", p.ID), p) }

// DeleteAlertPolicy removes a policy. Its alerts are closed by who looks at them.
func (t *Tx) DeleteAlertPolicy(id string) error {
	if t.limit > 0 && len(t.ops) >= t.limit {
		return ErrFull
	}
	t.remove(t.orgKey("alert-policy/%s", id))
	return nil
}

// Alert reads one alert.
func (v *View) Alert(ctx context.Context, id string) (Alert, error) {
	var a Alert
	return a, v.load(ctx, v.alertKey(id), &a)
}

// Alerts lists alerts, newest first.
func (v *View) Alerts(ctx context.Context, p Page) ([]Alert, string, error) {
	return loadPage[Alert](ctx, v, v.alertPrefix(), p)
}

// PutAlert puts a new or changed alert.
func (t *Tx) PutAlert(a Alert) error { return t.put(t.alertKey(a.ID), a) }

// AlertMark reads what is remembered of a threshold.
func (v *View) AlertMark(ctx context.Context, k AlertMarkKey) (AlertMark, error) {
	var m AlertMark
	return m, v.load(ctx, v.alertMarkKey(k), &m)
}

// AlertMarks reads all that is remembered of thresholds.
func (v *View) AlertMarks(ctx context.Context) ([]AlertMark, error) {
	return loadAll[AlertMark](ctx, v, v.alertMarkPrefix())
}

// PutAlertMark remembers of a threshold that it is reached.
func (t *Tx) PutAlertMark(m AlertMark) error { return t.put(t.alertMarkKey(m.Key()), m) }

// DropAlertMark forgets that.
func (t *Tx) DropAlertMark(k AlertMarkKey) { t.remove(t.alertMarkKey(k)) }

// QueueAlertNote has a receiver be told of an alert.
func (t *Tx) QueueAlertNote(a Alert, kind string) error {
	return t.put(alertNoteKey(t.org, a.ID, kind), alertNoteRef{Organization: t.org, Alert: a.ID, Policy: a.PolicyUID, Type: kind})
}
