package controlplane_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/controlplane/internal/outward"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// inbox is a receiver of alerts.
type inbox struct {
	*httptest.Server
	mu   sync.Mutex
	got  []map[string]any
	says string
}

const inboxSecret = "swordfish swordfish"

func newInbox(t *testing.T) *inbox {
	t.Helper()
	b := &inbox{says: "thank you"}
	b.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var m map[string]any
		if err != nil || json.Unmarshal(body, &m) != nil || m["id"] != r.Header.Get(outward.IDHeader) || r.Header.Get(outward.SignatureHeader) == "" {
			t.Errorf("got %s, %v", body, err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.got = append(b.got, m)
		_, _ = io.WriteString(w, b.says)
	}))
	t.Cleanup(b.Close)
	return b
}

// told lists what came, as "type account".
func (b *inbox) told() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, m := range b.got {
		all = append(all, m["type"].(string)+" "+m["metric"].(string))
	}
	return strings.Join(all, ", ")
}

func TestOneIsToldBeforeALimitIsReached(t *testing.T) {
	box := newInbox(t)
	p := start(t, t.TempDir(), func(c *controlplane.Config) { c.ReceiverClient = box.Client() })
	signed, owner := p.signUp(t, "acme")
	ctx := t.Context()
	thousand := int64(1000)
	must[*apiv1.UpdateAccountResponse](t, "limit")(owner.accounts.UpdateAccount(ctx, &apiv1.UpdateAccountRequest{
		Account: &apiv1.Account{Name: acmeAccount, Limits: &apiv1.Limits{DataBytes: &thousand}}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"limits.data_bytes"}},
	}))
	hook := &apiv1.AlertWebhook{Url: box.URL + "/?token=hidden", Secret: inboxSecret}
	made := must[*apiv1.CreateAlertPolicyResponse](t, "policy")(owner.alerts.CreateAlertPolicy(ctx, &apiv1.CreateAlertPolicyRequest{
		Parent: acme, AlertPolicyId: "data", AlertPolicy: &apiv1.AlertPolicy{Metric: "data_bytes", LimitPercents: []int32{80, 50}, Webhook: hook},
	})).GetAlertPolicy()
	if strings.Contains(made.String(), "hidden") || strings.Contains(made.String(), "swordfish") || made.GetWebhook().GetHost() == "" || !made.GetWebhook().GetSigned() {
		t.Errorf("made %v", made)
	}
	must[*apiv1.CreateAlertPolicyResponse](t, "policy")(owner.alerts.CreateAlertPolicy(ctx, &apiv1.CreateAlertPolicyRequest{
		Parent: acme, AlertPolicyId: "crowd", AlertPolicy: &apiv1.AlertPolicy{Metric: "connections", Account: acmeAccount, FixedValue: 2, Webhook: hook},
	}))
	must[*apiv1.CreateAlertPolicyResponse](t, "policy")(owner.alerts.CreateAlertPolicy(ctx, &apiv1.CreateAlertPolicyRequest{
		Parent: acme, AlertPolicyId: "users", AlertPolicy: &apiv1.AlertPolicy{Metric: "users", FixedValue: 2},
	}))

	b := p.enrolled(t, "one", t.TempDir(), must[string](t, "join token")(p.JoinToken(ctx, 60e9)))
	b.mustConnect(t, signed.GetCredsFile())
	b.mustConnect(t, signed.GetCredsFile())
	if err := controlplane.RecordUsage(ctx, p.Server, signed.GetAccount().GetPublicKey(), 600); err != nil {
		t.Fatal(err)
	}
	w := owner.watch(t, acme, "", "alerts")
	w.until(true)
	eventually(t, func() bool { return len(owner.alertsIn(t, p, apiv1.Alert_STATE_OPEN)) == 2 })
	changes, _, _ := w.until(false)
	if len(changes) == 0 || changes[0].GetAlert() == nil {
		t.Errorf("a watch tells %v", changes)
	}
	eventually(t, func() bool {
		told := box.told()
		return strings.Contains(told, "data_bytes") && strings.Contains(told, "connections")
	})
	for _, a := range owner.alertsIn(t, p, apiv1.Alert_STATE_OPEN) {
		if a.GetMetric() == "data_bytes" && (a.GetLimitPercent() != 50 || a.GetValue() != 600 || a.GetLimit() != 1000 || a.GetThresholdValue() != 500 || a.GetAccount() != acmeAccount) {
			t.Errorf("alert %v", a)
		}
		acked := must[*apiv1.AcknowledgeAlertResponse](t, "acknowledge")(owner.alerts.AcknowledgeAlert(ctx, &apiv1.AcknowledgeAlertRequest{Name: a.GetName(), Note: "mine"})).GetAlert()
		if acked.GetState() != apiv1.Alert_STATE_ACKNOWLEDGED || acked.GetNote() != "mine" || acked.GetAcknowledger() == "" {
			t.Errorf("acknowledged %v", acked)
		}
	}
	must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: acmeAccount, UserId: "second"}))
	eventually(t, func() bool { return len(owner.alertsIn(t, p, apiv1.Alert_STATE_OPEN)) == 1 })

	b.stop() // and with it all connections
	eventually(t, func() bool { return len(owner.alertsIn(t, p, apiv1.Alert_STATE_CLOSED)) == 1 })
	closed := owner.alertsIn(t, p, apiv1.Alert_STATE_CLOSED)[0]
	if closed.GetMetric() != "connections" || closed.GetCloseReason() != "below" {
		t.Errorf("closed %v", closed)
	}
	_, err := owner.alerts.AcknowledgeAlert(ctx, &apiv1.AcknowledgeAlertRequest{Name: closed.GetName()})
	wantError(t, err, errs.Precondition, "ALERT_CLOSED")
	reasons := must[[]string](t, "audit")(controlplane.AuditReasons(ctx, p.Server, "acme", "OpenAlert"))
	if len(reasons) != 3 || !strings.Contains(strings.Join(reasons, "\n"), "600, which is at least 50 % of 1000") {
		t.Errorf("the audit log says %q", reasons)
	}
	if text := p.log.String(); strings.Contains(text, "hidden") || strings.Contains(text, "swordfish") {
		t.Error("a secret is in the log")
	}
	p.wantBackedUp(t)
	p.wantPolicyEndsWithAccount(t, owner)
}

// alertsIn looks, and lists the alerts in a state.
func (c *caller) alertsIn(t *testing.T, p *plane, state apiv1.Alert_State) []*apiv1.Alert {
	t.Helper()
	if err := controlplane.LookForAlerts(t.Context(), p.Server); err != nil {
		t.Fatal(err)
	}
	list := must[*apiv1.ListAlertsResponse](t, "list")(c.alerts.ListAlerts(t.Context(), &apiv1.ListAlertsRequest{
		Parent: acme, Filter: "state = " + strings.TrimPrefix(state.String(), "STATE_"),
	}))
	return list.GetAlerts()
}

// wantBackedUp takes a backup, and checks it.
func (p *plane) wantBackedUp(t *testing.T) {
	t.Helper()
	var text bytes.Buffer
	if err := p.Backup(t.Context(), &text); err != nil {
		t.Fatal(err)
	}
	if _, err := controlplane.VerifyBackup(&text); err != nil {
		t.Errorf("the backup: %v", err)
	}
}

func (p *plane) wantPolicyEndsWithAccount(t *testing.T, owner *caller) {
	t.Helper()
	ctx := t.Context()
	must[*apiv1.DeleteAccountResponse](t, "delete")(owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: acmeAccount}))
	must[*apiv1.PurgeAccountResponse](t, "purge")(owner.accounts.PurgeAccount(ctx, &apiv1.PurgeAccountRequest{Name: acmeAccount}))
	_, err := owner.alerts.GetAlertPolicy(ctx, &apiv1.GetAlertPolicyRequest{Name: acme + "/alertPolicies/crowd"})
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")
	must[*apiv1.GetAlertPolicyResponse](t, "of each account")(owner.alerts.GetAlertPolicy(ctx, &apiv1.GetAlertPolicyRequest{Name: acme + "/alertPolicies/data"}))
	eventually(t, func() bool {
		for _, a := range owner.alertsIn(t, p, apiv1.Alert_STATE_CLOSED) {
			if a.GetMetric() == "data_bytes" {
				return a.GetCloseReason() == "account-gone"
			}
		}
		return false
	})
}

func TestPoliciesThatCannotBeAreRefused(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	_, other := p.signUp(t, "globex")
	ctx := t.Context()
	hook := func(url, secret string) *apiv1.AlertWebhook { return &apiv1.AlertWebhook{Url: url, Secret: secret} }
	for name, c := range map[string]struct {
		policy *apiv1.AlertPolicy
		code   errs.Code
		reason string
	}{
		"nobody measures it":    {&apiv1.AlertPolicy{Metric: "pending_bytes", FixedValue: 1}, errs.Invalid, "UNKNOWN_METRIC"},
		"no threshold":          {&apiv1.AlertPolicy{Metric: "data_bytes"}, errs.Invalid, "INVALID_ALERT_RULE"},
		"both":                  {&apiv1.AlertPolicy{Metric: "data_bytes", FixedValue: 1, LimitPercents: []int32{1}}, errs.Invalid, "INVALID_ALERT_RULE"},
		"no such limit":         {&apiv1.AlertPolicy{Metric: "delivered_messages", LimitPercents: []int32{1}}, errs.Invalid, "INVALID_ALERT_RULE"},
		"a month is held":       {&apiv1.AlertPolicy{Metric: "data_bytes", FixedValue: 1, HoldSeconds: 1}, errs.Invalid, "INVALID_ALERT_RULE"},
		"of the organization":   {&apiv1.AlertPolicy{Metric: "users", FixedValue: 1, Account: acmeAccount}, errs.Invalid, "METRIC_OF_ORGANIZATION"},
		"no limit":              {&apiv1.AlertPolicy{Metric: "data_bytes", LimitPercents: []int32{1}, Account: acmeAccount}, errs.Precondition, "LIMIT_MISSING"},
		"no account":            {&apiv1.AlertPolicy{Metric: "data_bytes", FixedValue: 1, Account: acmeAccount + "x"}, errs.Precondition, "ACCOUNT_NOT_FOUND"},
		"another's account":     {&apiv1.AlertPolicy{Metric: "data_bytes", FixedValue: 1, Account: globexAccount}, errs.Precondition, "ACCOUNT_NOT_FOUND"},
		"in the clear":          {&apiv1.AlertPolicy{Metric: "data_bytes", FixedValue: 1, Webhook: hook("http://example.com/", "")}, errs.Invalid, "INVALID_WEBHOOK"},
		"a secret without URL":  {&apiv1.AlertPolicy{Metric: "data_bytes", FixedValue: 1, Webhook: hook("", inboxSecret)}, errs.Invalid, "INVALID_WEBHOOK"},
		"a secret that is none": {&apiv1.AlertPolicy{Metric: "data_bytes", FixedValue: 1, Webhook: hook("https://example.com/", "short")}, errs.Invalid, "INVALID_WEBHOOK"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := owner.alerts.CreateAlertPolicy(ctx, &apiv1.CreateAlertPolicyRequest{Parent: acme, AlertPolicyId: "one", AlertPolicy: c.policy})
			wantError(t, err, c.code, c.reason)
		})
	}
	good := &apiv1.AlertPolicy{Metric: "data_bytes", FixedValue: 1, Webhook: hook("https://127.0.0.1:1/?hidden", inboxSecret)}
	create := &apiv1.CreateAlertPolicyRequest{Parent: acme, AlertPolicyId: "one", AlertPolicy: good, ValidateOnly: true}
	must[*apiv1.CreateAlertPolicyResponse](t, "dry run")(owner.alerts.CreateAlertPolicy(ctx, create))
	create.ValidateOnly = false
	must[*apiv1.CreateAlertPolicyResponse](t, "create")(owner.alerts.CreateAlertPolicy(ctx, create))
	_, err := owner.alerts.CreateAlertPolicy(ctx, create)
	wantError(t, err, errs.Exists, "ALERT_POLICY_EXISTS")
	const name = acme + "/alertPolicies/one"
	_, err = other.alerts.GetAlertPolicy(ctx, &apiv1.GetAlertPolicyRequest{Name: name})
	wantError(t, err, errs.NotFound, "RESOURCE_NOT_FOUND")

	// Tenants' receivers are on the public internet.
	tested := must[*apiv1.TestAlertPolicyResponse](t, "test")(owner.alerts.TestAlertPolicy(ctx, &apiv1.TestAlertPolicyRequest{Name: name}))
	if tested.GetDelivered() || !strings.Contains(tested.GetError(), "not a public address") || strings.Contains(tested.GetError(), "hidden") {
		t.Errorf("tested %v", tested)
	}
	update := func(f *apiv1.AlertPolicy, paths ...string) error {
		f.Name = name
		_, err := owner.alerts.UpdateAlertPolicy(ctx, &apiv1.UpdateAlertPolicyRequest{AlertPolicy: f, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}})
		return err
	}
	wantError(t, update(&apiv1.AlertPolicy{Metric: "users"}, "metric"), errs.Invalid, "INVALID_MASK")
	wantError(t, update(&apiv1.AlertPolicy{Etag: "1", Disabled: true}, "disabled"), errs.Conflict, "STALE_ETAG")
	read := must[*apiv1.GetAlertPolicyResponse](t, "read")(owner.alerts.GetAlertPolicy(ctx, &apiv1.GetAlertPolicyRequest{Name: name})).GetAlertPolicy()
	wantError(t, update(read, "*"), errs.Invalid, "INVALID_WEBHOOK")
	if err := update(&apiv1.AlertPolicy{}, "webhook"); err != nil {
		t.Error(err)
	}
	_, err = owner.alerts.TestAlertPolicy(ctx, &apiv1.TestAlertPolicyRequest{Name: name})
	wantError(t, err, errs.Precondition, "NO_WEBHOOK")
	for i := 1; i < 50; i++ {
		create.AlertPolicyId = "more-" + strings.Repeat("x", i)
		must[*apiv1.CreateAlertPolicyResponse](t, "create")(owner.alerts.CreateAlertPolicy(ctx, create))
	}
	create.AlertPolicyId = "too-many"
	_, err = owner.alerts.CreateAlertPolicy(ctx, create)
	wantError(t, err, errs.Exhausted, "ALERT_POLICY_QUOTA")
	must[*apiv1.DeleteAlertPolicyResponse](t, "delete")(owner.alerts.DeleteAlertPolicy(ctx, &apiv1.DeleteAlertPolicyRequest{Name: name}))
}

func TestAReceiverIsTriedOut(t *testing.T) {
	box := newInbox(t)
	p := start(t, t.TempDir(), func(c *controlplane.Config) { c.ReceiverClient = box.Client() })
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	must[*apiv1.CreateAlertPolicyResponse](t, "policy")(owner.alerts.CreateAlertPolicy(ctx, &apiv1.CreateAlertPolicyRequest{
		Parent: acme, AlertPolicyId: "data", AlertPolicy: &apiv1.AlertPolicy{Metric: "data_bytes", FixedValue: 5, Webhook: &apiv1.AlertWebhook{Url: box.URL, Secret: inboxSecret}},
	}))
	tested := must[*apiv1.TestAlertPolicyResponse](t, "test")(owner.alerts.TestAlertPolicy(ctx, &apiv1.TestAlertPolicyRequest{Name: acme + "/alertPolicies/data"}))
	if !tested.GetDelivered() || tested.GetHttpStatus() != http.StatusOK || tested.GetAnswer() != "thank you" || box.told() != "alert.test data_bytes" {
		t.Errorf("tested %v, told %s", tested, box.told())
	}
	reasons := must[[]string](t, "audit")(controlplane.AuditReasons(ctx, p.Server, "acme", "TestAlertPolicy"))
	if len(reasons) != 1 {
		t.Errorf("the audit log says %q", reasons)
	}
}
