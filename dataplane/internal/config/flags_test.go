package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/config"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func options(t *testing.T, args ...string) *config.Options {
	t.Helper()
	c, err := config.Parse(args)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	o, err := c.Options()
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return o
}

func TestFlagsInBothSpellings(t *testing.T) {
	for _, pair := range [][2]string{
		{"-a 127.0.0.2", "--addr=127.0.0.2"},
		{"-a 127.0.0.2", "--net 127.0.0.2"},
		{"-p 5000", "--port 5000"},
		{"-n x", "--server_name x"},
		{"-n x", "--name=x"},
		{"-P /x/pid", "--pid /x/pid"},
		{"-m 8000", "--http_port 8000"},
		{"-l /x/log", "--log /x/log"},
		{"-T=false", "--logtime=false"},
		{"-s", "--syslog"},
		{"-r udp://x:1", "--remote_syslog udp://x:1"},
		{"-D", "--debug"},
		{"-V", "--trace"},
		{"-DV", "-D -V"},
		{"-DVV", "-D -VV"},
		{"-VV", "-V"},
		{"--max_traced_msg_len 10", "-max_traced_msg_len=10"},
	} {
		a, b := options(t, strings.Fields(pair[0])...), options(t, strings.Fields(pair[1])...)
		if sprintf("%+v", a) != sprintf("%+v", b) {
			t.Errorf("%s and %s differ:\n%+v\n%+v", pair[0], pair[1], a, b)
		}
		if sprintf("%+v", a) == sprintf("%+v", options(t)) {
			t.Errorf("%s changes nothing", pair[0])
		}
	}
}

func TestFlagsTakePrecedenceOverTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.conf")
	if err := os.WriteFile(path, []byte("port: 5000\nhost: 127.0.0.2\ndebug: true\nserver_name: file\nhttp: 8001\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(t, "-c", path, "-p", "6000", "--debug=false")
	if o.Port != 6000 || o.Log.Debug || o.ServerName != "file" || o.Host != "127.0.0.2" || o.MonitorHost != "127.0.0.2" || o.MonitorPort != 8001 {
		t.Errorf("options = %+v", o)
	}
}

func TestDefaults(t *testing.T) {
	o := options(t)
	if o.Host != "127.0.0.1" || o.Port != 4222 || o.MonitorPort != 0 || !o.Log.Time {
		t.Errorf("options = %+v", o)
	}
	for _, p := range []string{"0", "-1"} {
		if o := options(t, "-p", p, "-m", p); o.Port != config.AnyPort || o.MonitorPort != config.AnyPort {
			t.Errorf("with %s: ports %d, %d", p, o.Port, o.MonitorPort)
		}
	}
}

func TestModes(t *testing.T) {
	for args, want := range map[string]config.Mode{
		"":                         config.Serve,
		"-h":                       config.Help,
		"--help":                   config.Help,
		"help":                     config.Help,
		"-v":                       config.Version,
		"--version":                config.Version,
		"version":                  config.Version,
		"-t -c x":                  config.Check,
		"-sl reload":               config.Signal,
		"--signal ldm=/x/y.pid":    config.Signal,
		"-p 4222 -js=false -c a.b": config.Serve,
	} {
		c, err := config.Parse(strings.Fields(args))
		if err != nil || c.Mode != want {
			t.Errorf("%q: %+v, %v", args, c, err)
		}
	}
}

func TestBadCommandLines(t *testing.T) {
	for args, want := range map[string]string{
		"-js":                                 "not supported yet",
		"--cluster x":                         "not a URL",
		"--routes nats://x":                   "not a URL of a broker",
		"--tls":                               "TLS Server certificate must be present and valid",
		"--tlscert x":                         "TLS Server private key must be present and valid",
		"-ms 8443":                            "https needs the certificates of a tls block",
		"--nonsense":                          "not defined: -nonsense",
		"-p many":                             "not a number from -1 to 65535",
		"-p 70000":                            "not a number",
		"run":                                 `unrecognized command: "run"`,
		"-t":                                  "must specify [-c, --config]",
		"--user a --auth b":                   "both a token and a user",
		"--control-plane x:1":                 "also needs otlp, operator_public_key, state_dir",
		"--otlp x:1":                          "control plane is missing",
		"-c /no/such/file":                    "no such file",
		"-c testdata/good/json.conf --user x": "do not go together",
		"--client_advertise a:b":              "not a port number",
	} {
		c, err := config.Parse(strings.Fields(args))
		if err == nil && c.Mode == config.Serve {
			_, err = c.Options()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
	}
}
