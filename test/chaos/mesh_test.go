package chaos_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coveymq/covey/internal/netsim"
	"github.com/coveymq/covey/test/conformance/proc"
)

const size = 3 // brokers of a mesh

// mesh is some brokers, and the links that their routes lead through.
type mesh struct {
	t     *testing.T
	dir   string
	pool  int
	nodes [size]*node
	// pairs[i][j] is how i, which is configured to, reaches j.
	pairs [size][size]*netsim.Link
	// doors[j] is how those reach j whom somebody told of it.
	doors [size]*netsim.Link
}

// node is one broker. It keeps its addresses when it is started anew.
type node struct {
	program string
	name    string
	route   string // host:port
	monitor string // host:port
	server  *proc.Server
	stopped bool // by SIGSTOP
}

func (n *node) up() bool { return n.server != nil && !n.stopped }

// newMesh prepares brokers; programs[i] is the path of the i-th one.
func newMesh(t *testing.T, pool int, programs [size]string) *mesh {
	t.Helper()
	m := &mesh{t: t, dir: t.TempDir(), pool: pool}
	addrs := freeAddrs(t, 2*size)
	for i := range m.nodes {
		m.nodes[i] = &node{program: programs[i], name: fmt.Sprint("n", i), route: addrs[2*i], monitor: addrs[2*i+1]}
	}
	for j, n := range m.nodes {
		m.doors[j] = m.link(n.route)
		for i := range m.nodes {
			if i != j {
				m.pairs[i][j] = m.link(n.route)
			}
		}
	}
	return m
}

// freeAddrs returns n different addresses that nobody listens on.
func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for range n {
		addr, err := proc.FreeAddr()
		must(t, err)
		out = append(out, addr)
	}
	return out
}

func (m *mesh) link(target string) *netsim.Link {
	m.t.Helper()
	l, err := netsim.Listen(target)
	must(m.t, err)
	m.t.Cleanup(func() { _ = l.Close() })
	return l
}

func (m *mesh) config(i int) string {
	n := m.nodes[i]
	var routes []string
	for _, l := range m.pairs[i] {
		if l != nil {
			routes = append(routes, fmt.Sprintf("%q", "nats-route://"+l.Addr()))
		}
	}
	return fmt.Sprintf(`server_name: %q
http: %q
accounts {
  A { users [ { user: a, password: a } ] }
  B { users [ { user: b, password: b } ] }
}
cluster {
  name: chaos, listen: %q, advertise: %q, pool_size: %d
  routes: [ %s ]
}
`, n.name, n.monitor, n.route, m.doors[i].Addr(), m.pool, strings.Join(routes, ", "))
}

// start runs a broker that is not there.
func (m *mesh) start(i int) {
	m.t.Helper()
	n := m.nodes[i]
	s, err := proc.Start(context.Background(), proc.Options{Path: n.program, Config: m.config(i), Dir: m.dir})
	must(m.t, err)
	n.server = s
	m.t.Cleanup(s.Stop)
}

// kill ends a broker without a chance to say good-bye.
func (m *mesh) kill(i int) {
	m.nodes[i].server.Stop()
	m.nodes[i].server, m.nodes[i].stopped = nil, false
}

// quit lets a broker end in order.
func (m *mesh) quit(i int) {
	m.t.Helper()
	n := m.nodes[i]
	must(m.t, n.server.Signal(syscall.SIGTERM))
	select {
	case <-n.server.Done():
	case <-time.After(patience):
		m.t.Fatalf("%s does not end on SIGTERM; log:\n%s", n.name, n.server.Log())
	}
	n.server.Stop()
	n.server = nil
}

func (m *mesh) pause(i int) {
	m.t.Helper()
	must(m.t, m.nodes[i].server.Signal(syscall.SIGSTOP))
	m.nodes[i].stopped = true
}

func (m *mesh) resume(i int) {
	m.t.Helper()
	must(m.t, m.nodes[i].server.Signal(syscall.SIGCONT))
	m.nodes[i].stopped = false
}

// between puts faults on the way from i to j, given as i sees them, and closes
// the doors of both to newcomers, who would go around the fault.
func (m *mesh) between(i, j int, f netsim.Faults) {
	m.pairs[i][j].Set(f)
	f.Out, f.Back = f.Back, f.Out
	m.pairs[j][i].Set(f)
	m.doors[i].Set(netsim.Faults{Refuse: true})
	m.doors[j].Set(netsim.Faults{Refuse: true})
}

// sever resets what stands between two brokers.
func (m *mesh) sever(i, j int) {
	m.pairs[i][j].Sever()
	m.pairs[j][i].Sever()
	m.doors[i].Sever()
	m.doors[j].Sever()
}

// heal takes all faults off all links.
func (m *mesh) heal() {
	for i := range m.nodes {
		m.doors[i].Set(netsim.Faults{})
		for _, l := range m.pairs[i] {
			if l != nil {
				l.Set(netsim.Faults{})
			}
		}
	}
}

// routes is the part of /routez that says whether a mesh is whole.
type routes struct {
	Count  int `json:"num_routes"`
	Routes []struct {
		Name    string `json:"remote_name"`
		Account string `json:"account"`
	} `json:"routes"`
}

// perPeer is how many routes there are between two brokers.
func (m *mesh) perPeer() int {
	if m.pool < 0 {
		return 1
	}
	return m.pool + 1 // the system account has one of its own
}

// whole says what is missing between the brokers; nothing if it is "".
func (m *mesh) whole() string {
	for _, n := range m.nodes {
		var r routes
		if err := get("http://"+n.monitor+"/routez", &r); err != nil {
			return err.Error()
		}
		have := make(map[string]int)
		for _, link := range r.Routes {
			have[link.Name]++
		}
		want := m.perPeer()
		for _, other := range m.nodes {
			if other != n && have[other.name] != want {
				return fmt.Sprintf("%s has %d routes to %s, not %d", n.name, have[other.name], other.name, want)
			}
		}
		if r.Count != want*(size-1) {
			return fmt.Sprintf("%s has %d routes, not %d", n.name, r.Count, want*(size-1))
		}
	}
	return ""
}

// goroutines counts those of a broker of ours.
func (n *node) goroutines() (int, error) {
	text, err := fetch("http://" + n.monitor + "/stacksz")
	return strings.Count(string(text), "\ngoroutine ") + 1, err
}

// clients counts the connections of clients.
func (n *node) clients() (int, error) {
	var c struct {
		Count int `json:"num_connections"`
	}
	return c.Count, get("http://"+n.monitor+"/connz", &c)
}

func get(url string, into any) error {
	text, err := fetch(url)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

var errStatus = fmt.Errorf("unexpected status")

func fetch(url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: %s", errStatus, res.Status)
	}
	return readAll(res.Body)
}

// program returns the path of a program built before.
func program(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("COVEY_BIN")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	must(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("there is no %s; run `make build judges`", name)
	}
	return path
}
