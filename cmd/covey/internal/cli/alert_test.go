package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func TestAlertPolicyCommandsSendWhatFlagsSay(t *testing.T) {
	u := newUser(t)
	r := u.withRecorder()
	dir := t.TempDir()
	url, secret := filepath.Join(dir, "url"), filepath.Join(dir, "secret")
	for path, text := range map[string]string{url: "https://example.com/hook\n", secret: "a secret of sixteen\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hook := &apiv1.AlertWebhook{Url: "https://example.com/hook", Secret: "a secret of sixteen"}
	const org = "organizations/acme"
	for line, want := range map[string]proto.Message{
		"create data --metric data_bytes --percent 50,80 --severity critical --webhook-file " + url + " --webhook-secret-file " + secret: &apiv1.CreateAlertPolicyRequest{
			Parent: org, AlertPolicyId: "data", AlertPolicy: &apiv1.AlertPolicy{
				Metric: "data_bytes", LimitPercents: []int32{50, 80}, Severity: apiv1.AlertSeverity_ALERT_SEVERITY_CRITICAL, Webhook: hook,
			},
		},
		"create crowd --metric connections --account orders --value 9 --hold 5m": &apiv1.CreateAlertPolicyRequest{
			Parent: org, AlertPolicyId: "crowd", AlertPolicy: &apiv1.AlertPolicy{Metric: "connections", Account: org + "/accounts/orders", FixedValue: 9, HoldSeconds: 300},
		},
	} {
		u.mustRun(append([]string{"alert", "policy"}, strings.Fields(line)...)...)
		asked, _ := r.take()
		got := asked[0]
		m := got.ProtoReflect()
		m.Clear(m.Descriptor().Fields().ByName("request_id"))
		if !proto.Equal(got, want) {
			t.Errorf("%s asks for\n%v, want\n%v", line, got, want)
		}
	}
	u.mustRun("alert", "policy", "update", "data", "--value", "7", "--no-webhook")
	asked, _ := r.take()
	if mask := asked[0].(*apiv1.UpdateAlertPolicyRequest).GetUpdateMask().GetPaths(); strings.Join(mask, " ") != "fixed_value limit_percents webhook" {
		t.Errorf("the mask is %v", mask)
	}
	for _, line := range []string{
		"create data --metric data_bytes --severity loud", "update data", "update data --disable --enable", "update data --webhook-secret-file " + secret,
		"update data --no-webhook --webhook-file " + url, "create data --metric users --hold 1ms", "create data",
	} {
		if code, _, _ := u.run(append([]string{"alert", "policy"}, strings.Fields(line)...)...); code != 2 {
			t.Errorf("covey alert policy %s ends with %d", line, code)
		}
	}
	if asked, names := r.take(); len(asked) != 0 {
		t.Errorf("wrong usage calls %v", names)
	}
}
