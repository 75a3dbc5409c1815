package dataplane_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// natsServer starts a nats-server in this process. It logs to the given logger,
// or not at all.
func natsServer(t *testing.T, conf string, log server.Logger) *server.Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	must(t, os.WriteFile(file, []byte(conf), 0o600))
	o, err := server.ProcessConfigFile(file)
	must(t, err)
	o.Host, o.Port, o.NoSigs, o.NoLog = "127.0.0.1", server.RANDOM_PORT, true, log == nil
	o.HTTPHost, o.HTTPPort = "127.0.0.1", server.RANDOM_PORT
	s, err := server.NewServer(o)
	must(t, err)
	if log != nil {
		s.SetLoggerV2(log, o.Debug, o.Trace, o.TraceVerbose)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("nats-server does not start")
	}
	return s
}

// rival is one of two servers that a test compares.
type rival struct {
	name            string
	client, monitor string // host:port, and a URL
}

// rivals starts a nats-server and ours with the same configuration.
func rivals(t *testing.T, conf string) (stock, ours rival) {
	t.Helper()
	s := natsServer(t, conf, nil)
	p := launch(t, conf)
	return rival{"nats-server", s.Addr().String(), "http://" + s.MonitorAddr().String()},
		rival{"ours", p.url[strings.Index(p.url, "://")+3:], p.http}
}

// ask returns what monitoring answers.
func (r rival) ask(t *testing.T, path string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.monitor+path, nil)
	must(t, err)
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { must(t, res.Body.Close()) }()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	var v map[string]any
	must(t, json.Unmarshal(text, &v))
	return v
}
