package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane/internal/config"
)

// All top-level keys of nats-server 2.15.2, with their other names.
const referenceKeys = `listen client_advertise port server_name host net debug trace trace_verbose trace_headers
logtime logtime_utc mappings maps disable_sublist_cache no_sublist_cache accounts default_sentinel authorization
http https http_port monitor_port https_port http_base_path cluster gateway leaf leafnodes store_dir storedir jetstream
logfile log_file logfile_size_limit log_size_limit logfile_max_num log_max_num syslog remote_syslog pidfile pid_file
ports_file_dir prof_port prof_block_rate max_control_line max_payload max_pending proxy_protocol max_connections
max_conn max_traced_msg_len max_subscriptions max_subs max_sub_tokens max_subscription_tokens ping_interval ping_max tls
ocsp allow_non_tls write_deadline write_timeout lame_duck_duration lame_duck_grace_period operator operators roots root
root_operators root_operator resolver account_resolver accounts_resolver resolver_tls resolver_preload
resolver_pinned_accounts no_auth_user system_account system no_system_account no_system no_sys_acc no_header_support
trusted trusted_keys connect_error_reports reconnect_error_reports websocket ws mqtt server_tags server_metadata
feature_flags default_js_domain ocsp_cache no_fast_producer_stall max_closed_clients proxies`

func load(t *testing.T, text string) (*config.Options, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "broker.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(path)
}

func TestEveryKeyOfTheReferenceIsKnown(t *testing.T) {
	for _, key := range strings.Fields(referenceKeys) {
		// No key takes a date, so each says something of it.
		_, err := load(t, strings.ToUpper(key)+": 2026-01-01T00:00:00Z")
		var got config.Problems
		if !errors.As(err, &got) || len(got) == 0 {
			t.Errorf("%s: a date is accepted: %v", key, err)
			continue
		}
		if strings.Contains(err.Error(), "unknown field") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestWhatDoesNotExistYetIsRefusedByName(t *testing.T) {
	for _, text := range []string{
		"gateway {}", "leafnodes {}", "websocket {}", "mqtt {}", "tls { cert_store: x }", "tls { ocsp_peer: true }",
		"jetstream: true", "jetstream {}", "feature_flags { js_ack_fc_v2: true }",
		"authorization { proxy_required: true }",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), "not supported yet") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestWhatAsksForNothingIsAccepted(t *testing.T) {
	for _, text := range []string{
		"jetstream: false", "prof_port: 0", "disable_sublist_cache: true", "feature_flags { js_ack_fc_v2: false, js_raft_delete_range: true }", "https_port: 0", "proxy_protocol: false", "no_system_account: false",
		"accounts { A { jetstream: disabled } }", "write_timeout: close", "HTTP_PORT: 0",
	} {
		if _, err := load(t, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestMetricsGoToURLs(t *testing.T) {
	o, err := load(t, `covey { metrics_otlp: "https://collector:4317", metrics_interval: "15s" }`)
	if err != nil {
		t.Fatal(err)
	}
	if o.Covey.MetricsPush != "https://collector:4317" || o.Covey.MetricsInterval != 15*time.Second {
		t.Errorf("pushed to %q every %v", o.Covey.MetricsPush, o.Covey.MetricsInterval)
	}
	for _, text := range []string{`metrics_otlp: "collector:4317"`, `metrics_otlp: "ftp://x"`, "metrics_otlp: 4317", `metrics_interval: "soon"`} {
		if _, err := load(t, "covey { "+text+" }"); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func TestVariablesAreNotUnknownFields(t *testing.T) {
	t.Setenv("BROKER_TEST_PORT", "4333")
	o, err := load(t, "limit: 10\nport: $BROKER_TEST_PORT\nmax_connections: $limit\n")
	if err != nil {
		t.Fatal(err)
	}
	if o.Port != 4333 || o.Clients.MaxConnections != 10 {
		t.Errorf("port %d, connections %d", o.Port, o.Clients.MaxConnections)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	o, err := load(t, "authorization { users: [ {user: a, password: hunter2} ] }")
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Access.Users) != 1 || string(o.Access.Users[0].Password) != "hunter2" {
		t.Fatalf("users = %v", o.Access.Users)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := sprintf(format, *o); strings.Contains(s, "hunter2") {
			t.Errorf("%s shows the password: %s", format, s)
		}
	}
	// Nor does a problem with one.
	if _, err := load(t, "authorization { users: [ {user: a, password: hunter2, x: y} ], token: hunter2, user: b }"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("problems = %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	for _, kind := range []string{"good", "bad"} {
		all, _ := filepath.Glob(filepath.Join("testdata", kind, "*.conf"))
		for _, path := range all {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "include") {
			t.Skip("no files of others")
		}
		o, err := load(t, text)
		if (o == nil) == (err == nil) {
			t.Fatalf("Load = %v, %v", o, err)
		}
		again, err2 := load(t, text)
		if (err == nil) != (err2 == nil) || err == nil && again.Digest != o.Digest {
			t.Errorf("the second time: %v, not %v", err2, err)
		}
	})
}

func TestMessageTraceOfAnAccount(t *testing.T) {
	for text, want := range map[string]string{
		`msg_trace: a.b`:                          "a.b 100",
		`trace_dest: a.b`:                         "a.b 100",
		`msg_trace { dest: a, sampling: 5 }`:      "a 5",
		`msg_trace { dest: a, sampling: "50%" }`:  "a 50",
		`msg_trace { sampling: 5 }`:               "",
		`msg_trace: "a.*"`:                        "error",
		`msg_trace { dest: a, sampling: 0 }`:      "error",
		`msg_trace { dest: a, sampling: "101%" }`: "error",
		`msg_trace { dest: a, sampling: [] }`:     "error",
		`msg_trace { dest: a, colour: red }`:      "error",
		`msg_trace: 5`:                            "error",
	} {
		got := "error"
		if o, err := load(t, "accounts { A { "+text+" } }"); err == nil {
			got = ""
			if tr := o.Access.TracingOf("A"); tr != nil {
				got = sprintf("%s %d", tr.Dest, tr.Sampling)
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
