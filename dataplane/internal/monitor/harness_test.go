package monitor_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/internal/lifecycle"
)

// subject is a server under test: stock nats-server or ours.
type subject struct {
	name            string
	client, monitor string
}

// stock starts a nats-server in this process, with a configuration or without.
func stock(t *testing.T, text string) *subject {
	t.Helper()
	o, err := server.ProcessConfigFile(write(t, text))
	must(t, err)
	o.Host, o.Port, o.HTTPHost, o.HTTPPort = "127.0.0.1", server.RANDOM_PORT, "127.0.0.1", server.RANDOM_PORT
	o.NoLog, o.NoSigs = true, true
	s, err := server.NewServer(o)
	must(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	eventually(t, "nats-server is up", func() bool { return s.ReadyForConnections(10*time.Millisecond) && s.MonitorAddr() != nil })
	return &subject{name: "nats-server", client: s.ClientURL(), monitor: "http://" + s.MonitorAddr().String()}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// ours starts a broker in this process, with a configuration or without.
func ours(t *testing.T, text string) *subject {
	t.Helper()
	o, err := config.Load(write(t, text))
	must(t, err)
	return start(t, o)
}

func start(t *testing.T, o *config.Options) *subject {
	t.Helper()
	b, err := dataplane.New(t.Context(), dataplane.Config{
		MonitorAddr: "127.0.0.1:0", MonitorBasePath: o.MonitorBasePath, ConfigDigest: o.Digest, Version: "test",
		Logger: slog.New(slog.DiscardHandler), Clients: &o.Clients, Access: &o.Access,
		Drain: dataplane.Drain{Grace: time.Millisecond},
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	g := lifecycle.NewGroup(ctx)
	g.Go(b.Run)
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return &subject{name: "ours", client: b.ClientURL(), monitor: b.MonitorURL()}
}

// reply is an answer of the monitoring endpoint.
type reply struct {
	code int
	kind string // content type
	body []byte
}

// get asks for a path with its query.
func (s *subject) get(t *testing.T, path string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.monitor+path, http.NoBody)
	must(t, err)
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { must(t, res.Body.Close()) }()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	return reply{code: res.StatusCode, kind: res.Header.Get("Content-Type"), body: body}
}

// object asks for a path whose answer is an object.
func (s *subject) object(t *testing.T, path string) map[string]any {
	t.Helper()
	r := s.get(t, path)
	if r.code != http.StatusOK {
		t.Fatalf("%s: %s answered %d: %s", s.name, path, r.code, r.body)
	}
	var v map[string]any
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("%s: %s: %v: %s", s.name, path, err, r.body)
	}
	return v
}

// natsConnect is nats.Connect with more than its two seconds: other tests may keep
// the processors busy.
func natsConnect(url string, opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect(url, append([]nats.Option{nats.Timeout(time.Minute)}, opts...)...)
}

func (s *subject) connect(t *testing.T, name string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := natsConnect(s.client, append(opts, nats.Name(name))...)
	must(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// raw opens a connection and speaks for it. It returns once the server has
// closed it.
func (s *subject) raw(t *testing.T, lines string) {
	t.Helper()
	u, err := url.Parse(s.client)
	must(t, err)
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", u.Host)
	must(t, err)
	defer func() { must(t, c.Close()) }()
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(c, lines)
	must(t, err)
	_, _ = io.Copy(io.Discard, c) // until closed, or reset
}

// traffic is the same for both: one subscriber with three subscriptions, one
// publisher, and connections that have ended in several ways. It returns when
// the server has counted all.
func (s *subject) traffic(t *testing.T) {
	t.Helper()
	sub := s.connect(t, "subscriber")
	for _, subj := range []string{"foo", "foo.>"} {
		_, err := sub.Subscribe(subj, func(*nats.Msg) {})
		must(t, err)
	}
	q, err := sub.QueueSubscribe("foo.*", "workers", func(*nats.Msg) {})
	must(t, err)
	must(t, q.AutoUnsubscribe(100))
	must(t, sub.Flush())
	pub := s.connect(t, "publisher")
	for range 10 {
		must(t, pub.Publish("foo", make([]byte, 16)))
	}
	for range 5 {
		must(t, pub.PublishMsg(&nats.Msg{Subject: "foo.bar", Data: make([]byte, 8), Header: nats.Header{"A": {"b"}}}))
	}
	must(t, pub.Flush())
	gone := s.connect(t, "gone")
	_, err = gone.Subscribe("bar", func(*nats.Msg) {})
	must(t, err)
	must(t, gone.Flush())
	gone.Close()
	for _, lines := range closings {
		s.raw(t, lines)
	}
	eventually(t, "all is counted", func() bool {
		v := s.object(t, "/varz")
		closed := s.object(t, "/connz?state=closed")
		return v["out_msgs"] == 20.0 && v["connections"] == 2.0 && closed["total"] == float64(len(closings)+1)
	})
}

// closings are what ends a connection; what for, the servers must agree on.
var closings = []string{
	"CONNECT {}\r\nnonsense\r\n",
	"CONNECT {}\r\nPUB foo 99999999\r\n",
	"CONNECT {\"no_responders\":true}\r\nPING\r\n",
	"CONNECT {\"protocol\":7}\r\nPING\r\n",
	"CONNECT {}\r\n-ERR 'enough'\r\n",
	"CONNECT {}\r\nSUB " + strings.Repeat("x", 5000) + " 1\r\n",
	"CONNECT {}\r\nHPUB foo 12 12\r\nNATS/1.0\r\n\r\n\r\n",
	"CONNECT {}\r\nSUB\r\n",
	"CONNECT nonsense\r\n",
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// cid returns the number of the connection with a name.
func (s *subject) cid(t *testing.T, name string) string {
	t.Helper()
	for _, c := range s.list(t, "/connz?state=any", "connections") {
		if c["name"] == name {
			id, _ := c["cid"].(float64)
			return strconv.Itoa(int(id))
		}
	}
	t.Fatalf("%s has no connection %s", s.name, name)
	return ""
}

// list asks for a path and returns the objects under a name.
func (s *subject) list(t *testing.T, path, name string) []map[string]any {
	t.Helper()
	all, ok := s.object(t, path)[name].([]any)
	if !ok {
		t.Fatalf("%s: %s has no list %s", s.name, path, name)
	}
	out := make([]map[string]any, len(all))
	for i := range all {
		if out[i], ok = all[i].(map[string]any); !ok {
			t.Fatalf("%s: %s: %v is no object", s.name, path, all[i])
		}
	}
	return out
}
