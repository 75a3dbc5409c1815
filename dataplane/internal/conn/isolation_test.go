package conn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"pgregory.net/rapid"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

// TestIsolation runs random histories of connects, subscriptions, publishes,
// suspensions and revocations over several accounts beside a naive model, and
// compares, message by message, who got what: delivered if and only if the model
// says so.
func TestIsolation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newIsolation(t, rt)
		defer w.close()
		rt.Repeat(map[string]func(*rapid.T){
			"connect":     w.connect,
			"subscribe":   w.subscribe,
			"unsubscribe": w.unsubscribe,
			"publish":     w.publish,
			"publish2":    w.publish, // more often
			"disconnect":  w.disconnect,
			"suspend":     w.suspend,
			"revoke":      w.revoke,
		})
		for _, c := range w.live() {
			c.sync(rt)
		}
		w.compare(rt)
	})
}

// world is the broker and the model of it.
type world struct {
	t        *testing.T
	broker   *broker
	registry *account.Registry
	source   *operatortest.Source
	tenants  []*tenant
	conns    []*connection
	sent     []*sending
}

type tenant struct {
	*operatortest.Account
	users     []*operatortest.User
	suspended bool
	revoked   map[int]bool
}

type connection struct {
	*client
	tenant *tenant
	user   int
	dead   bool
	subs   map[string]subscribed // by sid
	next   int
	got    map[string]int // "message sid" to how often
}

type subscribed struct{ subject, queue string }

// sending is what the model expects of one message.
type sending struct {
	id    string
	plain []receiver
	group map[string][]receiver
}

type receiver struct {
	conn *connection
	sid  string
}

func newIsolation(t *testing.T, rt *rapid.T) *world {
	op := operatortest.New(t)
	w := &world{t: t, source: operatortest.NewSource()}
	for i := range 3 {
		a := &tenant{Account: op.Account(fmt.Sprint(i)), revoked: map[int]bool{}}
		for u := range 2 {
			a.users = append(a.users, a.User(fmt.Sprint(u), nil))
		}
		w.source.Put(a.Key, a.Token())
		w.tenants = append(w.tenants, a)
	}
	w.broker, w.registry = enrolled(t, op, w.source, func(h *conn.Host) { h.Options().PingInterval = time.Hour })
	for range 3 {
		w.connect(rt)
	}
	return w
}

func (w *world) close() {
	for _, c := range w.conns {
		_ = c.nc.Close()
	}
	w.broker.Close(context.Background(), 0)
}

func (w *world) live() []*connection {
	return slices.DeleteFunc(slices.Clone(w.conns), func(c *connection) bool { return c.dead })
}

// pick draws a living connection.
func (w *world) pick(rt *rapid.T) *connection {
	live := w.live()
	if len(live) == 0 {
		rt.Skip("nobody is there")
	}
	return rapid.SampledFrom(live).Draw(rt, "conn")
}

func (w *world) connect(rt *rapid.T) {
	i := rapid.IntRange(0, len(w.tenants)-1).Draw(rt, "tenant")
	a := w.tenants[i]
	u := rapid.IntRange(0, 1).Draw(rt, "user")
	c := &connection{client: w.broker.dial(), tenant: a, user: u, subs: map[string]subscribed{}, got: map[string]int{}}
	c.send(credentials(c.client, a.users[u]) + "PING\r\n")
	switch {
	case a.revoked[u]:
		c.expectEnd("-ERR 'User Authentication Revoked'")
		_ = c.nc.Close()
	case a.suspended:
		c.expectEnd("-ERR 'maximum account active connections exceeded'")
		_ = c.nc.Close()
	default:
		c.expect("PONG")
		w.conns = append(w.conns, c)
	}
}

func drawPattern(rt *rapid.T) string {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*"}), 0, 2).Draw(rt, "tokens")
	return strings.Join(append(parts, rapid.SampledFrom([]string{"a", "b", "*", ">", ">"}).Draw(rt, "last")), ".")
}

func (w *world) subscribe(rt *rapid.T) {
	c := w.pick(rt)
	s := subscribed{drawPattern(rt), rapid.SampledFrom([]string{"", "q", "r"}).Draw(rt, "queue")}
	c.next++
	sid := strconv.Itoa(c.next)
	c.subs[sid] = s
	c.send(fmt.Sprintf("SUB %s %s %s\r\n", s.subject, s.queue, sid))
	c.sync(rt)
}

func (w *world) unsubscribe(rt *rapid.T) {
	c := w.pick(rt)
	if len(c.subs) == 0 {
		rt.Skip("no subscription")
	}
	sid := rapid.SampledFrom(slices.Sorted(maps.Keys(c.subs))).Draw(rt, "sid")
	delete(c.subs, sid)
	c.send("UNSUB " + sid + "\r\n")
	c.sync(rt)
}

func (w *world) publish(rt *rapid.T) {
	c := w.pick(rt)
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 1, 3).Draw(rt, "subject")
	s := &sending{id: fmt.Sprintf("m%d", len(w.sent)), group: map[string][]receiver{}}
	for _, d := range w.live() {
		for sid, sub := range d.subs {
			switch {
			case d.tenant != c.tenant || !modelMatches(parts, strings.Split(sub.subject, ".")):
			case sub.queue == "":
				s.plain = append(s.plain, receiver{d, sid})
			default:
				s.group[sub.queue] = append(s.group[sub.queue], receiver{d, sid})
			}
		}
	}
	w.sent = append(w.sent, s)
	c.send(fmt.Sprintf("PUB %s %d\r\n%s\r\n", strings.Join(parts, "."), len(s.id), s.id))
	c.sync(rt)
}

func modelMatches(literal, pattern []string) bool {
	for i, p := range pattern {
		if p == ">" {
			return i < len(literal)
		}
		if i >= len(literal) || p != "*" && p != literal[i] {
			return false
		}
	}
	return len(literal) == len(pattern)
}

func (w *world) disconnect(rt *rapid.T) {
	c := w.pick(rt)
	c.sync(rt)
	c.dead = true
	_ = c.nc.Close()
	eventually(w.t, "the connection is gone", func() bool {
		return !slices.ContainsFunc(w.broker.Clients(), func(x *conn.Client) bool { return x.Status().ID == c.info.ClientID })
	})
}

// suspend ends everybody of an account, or lets it in again.
func (w *world) suspend(rt *rapid.T) {
	a := rapid.SampledFrom(w.tenants).Draw(rt, "tenant")
	a.suspended = !a.suspended
	a.Claims.Limits.Conn = map[bool]int64{true: 0, false: -1}[a.suspended]
	w.apply(rt, a, func(*connection) bool { return a.suspended })
}

// revoke ends one user's connections, for good.
func (w *world) revoke(rt *rapid.T) {
	a := rapid.SampledFrom(w.tenants).Draw(rt, "tenant")
	u := rapid.IntRange(0, 1).Draw(rt, "user")
	a.revoked[u] = true
	if a.Claims.Revocations == nil {
		a.Claims.Revocations = jwt.RevocationList{}
	}
	a.Claims.Revocations[a.users[u].Key] = time.Now().Unix()
	w.apply(rt, a, func(c *connection) bool { return c.user == u })
}

func (w *world) apply(rt *rapid.T, a *tenant, ends func(*connection) bool) {
	token := a.Token()
	if err := w.registry.Apply(a.Key, token, w.source.Put(a.Key, token)); err != nil {
		rt.Fatal(err)
	}
	for _, c := range w.live() {
		if c.tenant == a && ends(c) {
			c.dead = true
			c.readAll(rt, "")
			_ = c.nc.Close()
		}
	}
}

// sync waits until the broker has done all that c asked for, and takes what came.
func (c *connection) sync(rt *rapid.T) {
	c.send("PING\r\n")
	c.readAll(rt, "PONG\r\n")
}

// readAll takes messages until a line comes, or the end if it is empty.
func (c *connection) readAll(rt *rapid.T, until string) {
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	for {
		line, err := c.in.ReadString('\n')
		switch words := strings.Fields(line); {
		case until == "" && errors.Is(err, io.EOF):
			return
		case err != nil:
			rt.Fatalf("read: %v", err)
		case line == until:
			return
		case len(words) == 4 && words[0] == "MSG":
			body, err := c.in.ReadString('\n')
			if err != nil {
				rt.Fatalf("read: %v", err)
			}
			c.got[strings.TrimSpace(body)+" "+words[2]]++
		case until == "" && len(words) > 0 && words[0] == "-ERR":
		default:
			rt.Fatalf("unexpected line %q", line)
		}
	}
}

// compare takes off what the model expects. Nothing may be missing or left.
func (w *world) compare(rt *rapid.T) {
	for _, s := range w.sent {
		for _, r := range s.plain {
			if r.conn.take(s.id+" "+r.sid) != 1 {
				rt.Errorf("%s did not come once to subscription %s of an account's connection", s.id, r.sid)
			}
		}
		for queue, members := range s.group {
			n := 0
			for _, r := range members {
				n += r.conn.take(s.id + " " + r.sid)
			}
			if n != 1 {
				rt.Errorf("%s came to %d members of group %q, want one", s.id, n, queue)
			}
		}
	}
	for _, c := range w.conns {
		if len(c.got) > 0 {
			rt.Errorf("account %s got what the model does not let it have: %v", c.tenant.Claims.Name, c.got)
		}
	}
}

func (c *connection) take(key string) int {
	n := c.got[key]
	delete(c.got, key)
	return n
}
