package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// node is one server of a cluster, of whichever kind its program is.
type node struct {
	t       *testing.T
	conf    string
	url     string
	monitor string

	cmd *exec.Cmd
	log *log
	wg  sync.WaitGroup
}

// clusterOf writes the configurations of a cluster of n nodes, with what all of
// them have in common besides.
func clusterOf(t *testing.T, n int, common string) []*node {
	t.Helper()
	if testing.Short() {
		t.Skip("end-to-end tests take real processes")
	}
	var routes []string
	ports := make([][3]int, n)
	for i := range ports {
		ports[i] = [3]int{freePort(t), freePort(t), freePort(t)}
		routes = append(routes, fmt.Sprintf("\"nats-route://127.0.0.1:%d\"", ports[i][1]))
	}
	nodes := make([]*node, n)
	for i := range nodes {
		conf := filepath.Join(t.TempDir(), "node.conf")
		text := fmt.Sprintf(`
server_name: node-%d, listen: "127.0.0.1:%d", http: "127.0.0.1:%d"
lame_duck_grace_period: "500ms", lame_duck_duration: "30s"
cluster { name: walk, listen: "127.0.0.1:%d", routes: [%s] }
%s`, i, ports[i][0], ports[i][2], ports[i][1], strings.Join(routes, ", "), common)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		nodes[i] = &node{
			t: t, conf: conf, url: "nats://127.0.0.1:" + strconv.Itoa(ports[i][0]),
			monitor: "http://127.0.0.1:" + strconv.Itoa(ports[i][2]),
		}
		t.Cleanup(func() { nodes[i].leave(syscall.SIGKILL) })
	}
	return nodes
}

// run starts a program with the node's configuration.
func (n *node) run(name string) {
	n.t.Helper()
	n.log = &log{}
	n.cmd = exec.Command(program(n.t, name), "-c", n.conf)
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	cmd := n.cmd
	n.wg.Go(func() { _ = cmd.Wait() }) // how it ends is not what is tested
	n.t.Cleanup(func() {
		if n.t.Failed() {
			n.t.Logf("log of %s:\n%s", name, tail(n.log.String(), 40))
		}
	})
}

// leave sends a signal and waits until the program is gone.
func (n *node) leave(sig os.Signal) {
	if n.cmd != nil {
		_ = n.cmd.Process.Signal(sig) // it may be gone already
		n.wg.Wait()
	}
}

// knows waits until the node has a route to each of the others.
func (n *node) knows(others int) {
	n.t.Helper()
	eventually(n.t, "routes of "+n.url, func() bool {
		r, err := http.Get(n.monitor + "/routez")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		var z struct {
			Routes []struct {
				RemoteID string `json:"remote_id"`
			} `json:"routes"`
		}
		if json.NewDecoder(bufio.NewReader(r.Body)).Decode(&z) != nil {
			return false
		}
		links := make(map[string]int)
		for _, l := range z.Routes {
			links[l.RemoteID]++
		}
		for _, count := range links {
			if count < 4 { // three of the pool and the system account's
				return false
			}
		}
		return len(links) == others
	})
}

// keyed is an account of an operator and a way to be a user of it.
type keyed struct {
	key, token string
	user       nats.Option
}

func newKeyed(t *testing.T, operator nkeys.KeyPair) keyed {
	t.Helper()
	pair := func(kp nkeys.KeyPair, err error) (nkeys.KeyPair, string) {
		if err != nil {
			t.Fatal(err)
		}
		pub, err := kp.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return kp, pub
	}
	account, key := pair(nkeys.CreateAccount())
	token, err := jwt.NewAccountClaims(key).Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	kp, pub := pair(nkeys.CreateUser())
	user, err := jwt.NewUserClaims(pub).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	return keyed{key, token, nats.UserJWT(func() (string, error) { return user, nil }, kp.Sign)}
}

// Brokers of ours, a current nats-server and one of 2.10 in one mesh, with the
// accounts of an operator: everybody reaches everybody of the same account, with
// headers, requests and queue groups, and nobody of another one.
func TestOperatorModeInAMixedMesh(t *testing.T) {
	operator, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	public, err := operator.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	system, a, b := newKeyed(t, operator), newKeyed(t, operator), newKeyed(t, operator)
	claims := jwt.NewOperatorClaims(public)
	claims.SystemAccount = system.key
	token, err := claims.Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	nodes := clusterOf(t, 4, fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload { %s: %s\n %s: %s\n %s: %s }\n",
		token, system.key, system.token, a.key, a.token, b.key, b.token))
	for i, name := range []string{"covey-broker", "nats-server", "covey-broker", "nats-server-2.10"} {
		nodes[i].run(name)
	}
	for _, n := range nodes {
		n.knows(3)
	}
	connect := func(n *node, who keyed) *nats.Conn {
		nc, err := nats.Connect(n.url, who.user, nats.Timeout(patience))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	for i := range nodes {
		for j := range nodes {
			crosses(t, connect(nodes[i], a), connect(nodes[j], a), connect(nodes[j], b))
		}
	}
	t.Logf("%d nodes: %d pairs of them carried a message, a request and the work of a queue group, and nothing crossed to another account", len(nodes), len(nodes)*len(nodes))
}

// crosses checks what one connection's messages do at another one of the same
// account, and at one of another account.
func crosses(t *testing.T, from, to, stranger *nats.Conn) {
	t.Helper()
	subject := nats.NewInbox()
	overheard := subscribe(t, stranger, ">", "")
	plain := subscribe(t, to, subject+".plain", "")
	one, two := subscribe(t, to, subject+".work", "g"), subscribe(t, to, subject+".work", "g")
	if _, err := to.Subscribe(subject+".ask", func(m *nats.Msg) {
		_ = m.RespondMsg(&nats.Msg{Data: m.Data, Header: nats.Header{"Seen": {m.Header.Get("Sent")}}})
	}); err != nil {
		t.Fatal(err)
	}
	flush(t, to)
	var answer *nats.Msg
	eventually(t, "an answer", func() bool {
		var err error
		answer, err = from.RequestMsg(&nats.Msg{Subject: subject + ".ask", Data: []byte("x"), Header: nats.Header{"Sent": {"y"}}}, time.Second)
		return err == nil
	})
	if string(answer.Data) != "x" || answer.Header.Get("Seen") != "y" {
		t.Errorf("the answer is %q with %v", answer.Data, answer.Header)
	}
	publish(t, from, subject+".plain", "hello")
	if m := next(t, plain); string(m.Data) != "hello" {
		t.Errorf("got %q", m.Data)
	}
	const n = 20
	for i := range n {
		publish(t, from, subject+".work", strconv.Itoa(i))
	}
	eventually(t, "all work", func() bool {
		x, _, _ := one.Pending()
		y, _, _ := two.Pending()
		return x+y == n
	})
	if m, err := overheard.NextMsg(20 * time.Millisecond); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("another account got %v, %v", m, err)
	}
	for _, s := range []*nats.Subscription{overheard, plain, one, two} {
		if err := s.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
}
