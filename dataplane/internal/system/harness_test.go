package system_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/dataplane/internal/config"
	"github.com/coveymq/covey/internal/lifecycle"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

const patience = time.Minute

// basic is a configuration with a system account and a tenant.
const basic = `
server_name: one
server_tags: ["a", "b"]
server_metadata: {zone: "z"}
accounts {
	SYS { users: [{user: sys, password: sys}] }
	APP { users: [
		{user: app, password: app}
		{user: limited, password: limited, permissions: {publish: ["foo", "$SYS.REQ.USER.INFO"], subscribe: {allow: ["_INBOX.>", "bar q"], deny: "bar.x"}, allow_responses: true}}
	] }
}
system_account: SYS
`

// subject is a server under test: stock nats-server or ours.
type subject struct {
	name, url, id, route string
}

// stock starts a nats-server in this process.
func stock(t *testing.T, text string) *subject {
	t.Helper()
	s, _ := stoppableStock(t, text)
	return s
}

func stoppableStock(t *testing.T, text string) (out *subject, leave func(graceful bool)) {
	t.Helper()
	o, err := server.ProcessConfigFile(write(t, text))
	must(t, err)
	o.Host, o.Port, o.NoLog, o.NoSigs = "127.0.0.1", server.RANDOM_PORT, true, true
	o.LameDuckGracePeriod, o.LameDuckDuration = time.Millisecond, 2*time.Millisecond
	s, err := server.NewServer(o)
	must(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	eventually(t, "nats-server is up", func() bool { return s.ReadyForConnections(10 * time.Millisecond) })
	out = &subject{name: "nats-server", url: s.ClientURL(), id: s.ID()}
	if a := s.ClusterAddr(); a != nil {
		out.route = "nats-route://" + a.String()
	}
	return out, func(graceful bool) {
		if graceful {
			s.LameDuckShutdown()
		}
		s.Shutdown()
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// ours starts a broker in this process, with a cluster if routes are given, even
// none.
func ours(t *testing.T, text string, routes ...string) *subject {
	t.Helper()
	s, _ := stoppable(t, text, routes...)
	return s
}

func stoppable(t *testing.T, text string, routes ...string) (s *subject, leave func(graceful bool)) {
	t.Helper()
	o, err := config.Load(write(t, text))
	must(t, err)
	cfg := dataplane.Config{
		ServerName: o.ServerName, ConfigDigest: o.Digest, Version: "test", Logger: slog.New(slog.DiscardHandler), Clients: &o.Clients, Access: &o.Access,
		Operator: o.Operator, Labels: dataplane.Labels{Tags: o.Tags, Metadata: o.Metadata}, Drain: dataplane.Drain{Grace: time.Millisecond},
	}
	if routes != nil {
		cfg.Cluster = &dataplane.Cluster{Name: "east", Listen: "127.0.0.1:0"}
		for _, r := range routes {
			u, err := dataplane.ParseRouteURL(r)
			must(t, err)
			cfg.Cluster.Routes = append(cfg.Cluster.Routes, u)
		}
	}
	b, err := dataplane.New(t.Context(), cfg)
	must(t, err)
	ctx, cancel := context.WithCancelCause(context.Background())
	g := lifecycle.NewGroup(ctx)
	g.Go(b.Run)
	var once sync.Once
	leave = func(graceful bool) {
		once.Do(func() {
			d := dataplane.Drain{Flush: time.Second}
			if graceful {
				d.Grace = time.Millisecond
			}
			cancel(dataplane.Leave(d))
			if err := g.Wait(); err != nil {
				t.Errorf("Run = %v", err)
			}
		})
	}
	t.Cleanup(func() { leave(false) })
	s = &subject{name: "ours", url: b.ClientURL(), route: b.RouteURL()}
	return s, leave
}

// natsConnect is nats.Connect with more than its two seconds: other tests may keep
// the processors busy.
func natsConnect(url string, opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect(url, append([]nats.Option{nats.Timeout(patience)}, opts...)...)
}

// as connects as a user whose password is its name.
func (s *subject) as(t *testing.T, user string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := natsConnect(s.url, append(opts, nats.UserInfo(user, user))...)
	must(t, err)
	t.Cleanup(nc.Close)
	if s.id == "" {
		s.id = nc.ConnectedServerId()
	}
	return nc
}

// ask makes a request; a status stands for no answer.
func ask(t *testing.T, nc *nats.Conn, subj, body string) string {
	t.Helper()
	m, err := nc.Request(subj, []byte(body), patience)
	if err != nil {
		return err.Error()
	}
	return string(m.Data)
}

// silent reports that a request is not answered, although somebody gets it.
func silent(t *testing.T, nc *nats.Conn, subj, body string) {
	t.Helper()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	must(t, err)
	must(t, nc.PublishRequest(subj, inbox, []byte(body)))
	// What is handled in the same queue after it is answered.
	if _, err := nc.Request("$SYS.REQ.SERVER.PING.VARZ", nil, patience); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.NextMsg(50 * time.Millisecond); err == nil {
		t.Errorf("%s %s is answered: %s", subj, body, m.Data)
	}
	must(t, sub.Unsubscribe())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// shape maps the path of every field to its type. The elements of a list are
// taken together.
func shape(v any, path string, into map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		into[path] = "object"
		for name, field := range v {
			if strings.HasSuffix(path, "http_req_stats") {
				name = "*"
			}
			shape(field, strings.TrimPrefix(path+"."+name, "."), into)
		}
	case []any:
		into[path] = "list"
		for _, e := range v {
			shape(e, path+"[]", into)
		}
	default:
		into[path] = fmt.Sprintf("%T", v)
	}
}

func shapeOf(t *testing.T, text string) map[string]string {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&v); err != nil {
		return map[string]string{"": "no JSON: " + text}
	}
	if _, err := d.Token(); err != io.EOF {
		t.Errorf("more than one value: %s", text)
	}
	into := make(map[string]string)
	shape(v, "", into)
	return into
}

// onlyTheirs are fields that we leave out on purpose, each with its reason.
var onlyTheirs = map[string]string{
	"server.feature_flags":      "the flags are for streams",
	"feature_flags":             "the flags are for streams",
	"data.feature_flags":        "the flags are for streams",
	"data.imports":              "the system account's services are no imports",
	"data.exports":              "the system account's services are no exports",
	"data.jwt":                  "a JWT is not kept",
	"data.decoded_jwt":          "a JWT is not kept",
	"client.jwt":                "a JWT is not kept once it is verified",
	"data.memstats":             "the runtime's, whatever they are",
	"data.subscriptions_list":   "the broker's own subscriptions are not told of",
	"data.account_detail":       "see data.imports",
	"data.gomemlimit":           "up to the process",
	"data.tls_cert_not_after":   "",
	"statsz.stalled_clients":    "",
	"statsz.sent.gateways":      "",
	"data.connections[].stalls": "",
}

// compare reports fields that one has and the other has not, or that have another
// type.
func compare(t *testing.T, what, theirs, our string) {
	t.Helper()
	want, got := shapeOf(t, theirs), shapeOf(t, our)
	left := func(field string) bool {
		for name := range onlyTheirs {
			if field == name || strings.HasPrefix(field, name+".") || strings.HasPrefix(field, name+"[") {
				return true
			}
		}
		return false
	}
	failed := false
	for _, field := range slices.Sorted(maps.Keys(want)) {
		if got[field] != want[field] && !left(field) {
			t.Errorf("%s: %s is %q, in nats-server %q", what, field, got[field], want[field])
			failed = true
		}
	}
	for _, field := range slices.Sorted(maps.Keys(got)) {
		if want[field] == "" && !strings.Contains(field, "covey") && !left(field) {
			t.Errorf("%s: %s is not in nats-server", what, field)
			failed = true
		}
	}
	if failed {
		t.Logf("%s\ntheirs: %s\nours:   %s", what, bytes.TrimSpace([]byte(theirs)), our)
	}
}
