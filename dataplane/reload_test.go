package dataplane_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/dataplane/internal/secure/securetest"
)

func (p *program) varz(t *testing.T, client *http.Client) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.http+"/varz", nil)
	must(t, err)
	res, err := client.Do(req)
	must(t, err)
	defer func() { must(t, res.Body.Close()) }()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	var v map[string]any
	must(t, json.Unmarshal(text, &v))
	return v
}

func TestReloadChangesLabelsAndAddresses(t *testing.T) {
	p := launch(t, `server_tags: ["A", " b "], server_metadata { region: eu }`)
	v := p.varz(t, http.DefaultClient)
	if diff := cmp.Diff([]any{"a", "b"}, v["tags"]); diff != "" {
		t.Errorf("tags: %s", diff)
	}
	if diff := cmp.Diff(map[string]any{"region": "eu"}, v["metadata"]); diff != "" {
		t.Errorf("metadata: %s", diff)
	}
	dir, pid := t.TempDir(), filepath.Join(t.TempDir(), "pid")
	p.reload(t, fmt.Sprintf("server_tags: c, client_advertise: \"example.com:9\", pid_file: %q", pid), "Reloaded server configuration")
	after := p.varz(t, http.DefaultClient)
	if diff := cmp.Diff([]any{"c"}, after["tags"]); diff != "" || after["metadata"] != nil {
		t.Errorf("tags: %s; metadata: %v", diff, after["metadata"])
	}
	if v["config_load_time"] == after["config_load_time"] || v["config_digest"] == after["config_digest"] {
		t.Error("/varz does not tell of the reload")
	}
	if _, err := os.Stat(pid); err != nil {
		t.Errorf("pid file: %v", err)
	}
	nc, err := natsConnect(p.url)
	must(t, err)
	defer nc.Close()
	if got := connectedInfo(t, p.url)["host"]; got != "example.com" {
		t.Errorf("INFO has host %v", got)
	}
	// The flag of launch is over the file's directory: nothing moves.
	p.reload(t, fmt.Sprintf("ports_file_dir: %q", dir), "Reloaded server configuration")
	if _, err := os.Stat(p.portsFile()); err != nil {
		t.Errorf("ports file: %v", err)
	}
}

// connectedInfo returns the INFO that a new connection gets.
func connectedInfo(t *testing.T, url string) map[string]any {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "nats://"))
	must(t, err)
	defer func() { must(t, c.Close()) }()
	line, err := bufio.NewReader(c).ReadString('\n')
	must(t, err)
	return infoOf(t, line)
}

// infoOf reads an INFO line.
func infoOf(t *testing.T, line string) map[string]any {
	t.Helper()
	var info map[string]any
	must(t, json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info))
	return info
}

func TestReloadReachesConnectionsThatStand(t *testing.T) {
	p := launch(t, "max_payload: 1000, max_control_line: 1000, max_connections: 3")
	var all []*nats.Conn
	closed := make(chan error, 3)
	for range 3 {
		nc, err := natsConnect(p.url, nats.NoReconnect(), nats.ClosedHandler(func(nc *nats.Conn) { closed <- nc.LastError() }))
		must(t, err)
		defer nc.Close()
		all = append(all, nc)
	}
	p.reload(t, "max_payload: 100, max_control_line: 1000, max_connections: 2", "Reloaded server configuration")
	if err := <-closed; err == nil || !strings.Contains(err.Error(), "maximum connections exceeded") {
		t.Errorf("the third connection ended with %v", err)
	}
	if !all[2].IsClosed() {
		t.Error("it is another one than the last that had to go")
	}
	must(t, all[0].Publish("a", make([]byte, 500)))
	if err := <-closed; err == nil || !strings.Contains(strings.ToLower(err.Error()), "maximum payload") {
		t.Errorf("a payload beyond the new limit: %v", err)
	}
	p.reload(t, "max_payload: 100, max_control_line: 100, max_connections: 2", "Reloaded server configuration")
	must(t, all[1].Publish(strings.Repeat("s", 500), nil))
	if err := <-closed; err == nil || !strings.Contains(err.Error(), "maximum control line exceeded") {
		t.Errorf("a line beyond the new limit: %v", err)
	}
}

func TestMonitoringOverTLS(t *testing.T) {
	ca := securetest.NewAuthority(t)
	conf := func() string {
		pair := ca.Server(t)
		return fmt.Sprintf("https: \"127.0.0.1:-1\", tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }", pair.CertFile, pair.KeyFile, ca.CAFile)
	}
	p := launch(t, conf())
	if !strings.HasPrefix(p.http, "https://") || !strings.Contains(p.log.String(), "Starting https monitor on 127.0.0.1:") {
		t.Errorf("monitoring at %s; log:\n%s", p.http, p.log.String())
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: ca.Config(t), DisableKeepAlives: true}}
	v := p.varz(t, client) // without a certificate, though clients need one
	if v["http_port"] != 0.0 || fmt.Sprintf("https://127.0.0.1:%v", v["https_port"]) != p.http {
		t.Errorf("http_port %v, https_port %v", v["http_port"], v["https_port"])
	}
	serial := func() string {
		d := tls.Dialer{Config: ca.Config(t)}
		c, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(p.http, "https://"))
		must(t, err)
		defer func() { must(t, c.Close()) }()
		return c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	p.reload(t, conf(), "Reloaded server configuration")
	if serial() == before {
		t.Error("the certificate is still the old one")
	}
}

func TestMonitoringThatCannotBe(t *testing.T) {
	for conf, why := range map[string]string{
		"https: \"127.0.0.1:-1\"":              "https needs the certificates of a tls block",
		"https_port: -1, http_port: -1":        "not over both",
		"server_tags: [ 1 ]":                   "server_tags must be an array of strings",
		"server_metadata: 1":                   "server_metadata must be a block",
		"server_metadata { a: 1 }":             "a must be a string",
		"max_traced_msg_len: -1":               "must be at least 0",
		"server_tags: \"\", trace_headers: no": "has an empty tag",
	} {
		file := filepath.Join(t.TempDir(), "x.conf")
		must(t, os.WriteFile(file, []byte(conf), 0o600))
		var out output
		if code := dataplane.Command(t.Context(), []string{"-t", "-c", file}, "", &out, &out); code != 1 || !strings.Contains(out.String(), why) {
			t.Errorf("%s: code %d, %s", conf, code, out.String())
		}
	}
}
