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
// suspensions, revocations, exports, imports, activations and mappings over several accounts
// that come and go, beside a naive model, and compares, message by message, who got
// what: delivered if and only if the model says so.
func TestIsolation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newIsolation(t, rt)
		defer w.close()
		actions := []weighted{
			{12, w.publish},
			{5, w.subscribe},
			{2, w.connect},
			{2, w.unsubscribe},
			{1, w.disconnect},
			{1, w.suspend},
			{1, w.revoke},
			{2, w.give},
			{3, w.takeOver},
			{3, w.unshare},
			{2, w.lose},
			{2, w.remap},
			{1, w.evict},
		}
		rt.Repeat(map[string]func(*rapid.T){"act": func(rt *rapid.T) { oftenOf(rt, actions)(rt) }})
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
	shares    shares
	mapped    [len(remaps)]bool
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
	id     string
	plain  []receiver
	groups [][]receiver // one member of each
}

type receiver struct {
	conn *connection
	sid  string
}

func newIsolation(t *testing.T, rt *rapid.T) *world {
	op := operatortest.New(t)
	w := &world{t: t, source: operatortest.NewSource()}
	for i := range 3 {
		a := &tenant{Account: op.Account(fmt.Sprint(i)), revoked: map[int]bool{}, shares: shares{taken: map[int][4]bool{}, revoked: map[int]bool{}, bare: map[int]bool{}}}
		for u := range 2 {
			a.users = append(a.users, a.User(fmt.Sprint(u), nil))
		}
		w.source.Put(a.Key, a.Token())
		w.tenants = append(w.tenants, a)
	}
	w.shareMuch(rt)
	w.broker, w.registry = enrolled(t, op, w.source, func(h *conn.Host) { h.Options().PingInterval = time.Hour })
	for i := range w.tenants {
		w.connectTo(rt, i)
		w.subscribeOn(rt, w.conns[i])
		w.subscribeOn(rt, w.conns[i])
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
	return oneOf(rt, live, "conn")
}

func (w *world) connect(rt *rapid.T) {
	w.connectTo(rt, evenly(rt, len(w.tenants), "tenant"))
}

func (w *world) connectTo(rt *rapid.T, i int) {
	a := w.tenants[i]
	u := evenly(rt, 2, "user")
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
	var parts []string
	for range evenly(rt, 3, "tokens") {
		parts = append(parts, oneOf(rt, []string{"a", "b", "*", "x"}, "token"))
	}
	return strings.Join(append(parts, oneOf(rt, []string{"a", "b", "*", ">", ">"}, "last")), ".")
}

func (w *world) subscribe(rt *rapid.T) { w.subscribeOn(rt, w.pick(rt)) }

func (w *world) subscribeOn(rt *rapid.T, c *connection) {
	s := subscribed{drawPattern(rt), oneOf(rt, []string{"", "", "q", "r"}, "queue")}
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
	sid := oneOf(rt, slices.Sorted(maps.Keys(c.subs)), "sid")
	delete(c.subs, sid)
	c.send("UNSUB " + sid + "\r\n")
	c.sync(rt)
}

func (w *world) publish(rt *rapid.T) {
	c := w.pick(rt)
	var parts []string
	for range 1 + evenly(rt, 3, "tokens") {
		parts = append(parts, oneOf(rt, []string{"a", "b"}, "token"))
	}
	s := &sending{id: fmt.Sprintf("m%d", len(w.sent))}
	w.expect(s, slices.Index(w.tenants, c.tenant), parts, false)
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
	a := oneOf(rt, w.tenants, "tenant")
	a.suspended = !a.suspended
	a.Claims.Limits.Conn = map[bool]int64{true: 0, false: -1}[a.suspended]
	w.apply(rt, a, func(*connection) bool { return a.suspended })
}

// revoke ends one user's connections, for good.
func (w *world) revoke(rt *rapid.T) {
	a := oneOf(rt, w.tenants, "tenant")
	u := evenly(rt, 2, "user")
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
		case line == "PING\r\n": // the broker's own, on a slow machine
		case len(words) > 3 && (words[0] == "MSG" || words[0] == "HMSG"):
			c.got[c.body(rt, words)+" "+words[2]]++
		case until == "" && len(words) > 0 && words[0] == "-ERR":
		default:
			rt.Fatalf("unexpected line %q", line)
		}
	}
}

// body reads what follows the line of a message and returns its payload.
func (c *connection) body(rt *rapid.T, words []string) string {
	size, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		rt.Fatalf("no size in %q", words)
	}
	all := make([]byte, size+2)
	if _, err := io.ReadFull(c.in, all); err != nil {
		rt.Fatalf("read: %v", err)
	}
	header := 0
	if words[0] == "HMSG" {
		header, _ = strconv.Atoi(words[len(words)-2])
	}
	return string(all[header:size])
}

// compare takes off what the model expects. Nothing may be missing or left.
func (w *world) compare(rt *rapid.T) {
	for _, s := range w.sent {
		w.compareOne(rt, s)
	}
	for _, c := range w.conns {
		if len(c.got) > 0 {
			rt.Errorf("account %s got what the model does not let it have: %v", c.tenant.Claims.Name, c.got)
		}
	}
}

// compareOne takes off what the model expects of one message. Who is in several
// groups, of several accounts, may get it from each.
func (w *world) compareOne(rt *rapid.T, s *sending) {
	for _, r := range s.plain {
		if !r.conn.take(s.id + " " + r.sid) {
			rt.Errorf("%s did not come to subscription %s of account %s as often as it should", s.id, r.sid, r.conn.tenant.Claims.Name)
		}
	}
	for len(s.groups) > 0 {
		members, n := s.groups[0], 1
		rest := s.groups[1:]
		for changed := true; changed; {
			changed = false
			for i, g := range rest {
				if slices.ContainsFunc(g, func(r receiver) bool { return slices.Contains(members, r) }) {
					members, n, changed = append(members, g...), n+1, true
					rest = slices.Delete(slices.Clone(rest), i, i+1)
					break
				}
			}
		}
		got := 0
		for _, r := range members {
			for r.conn.take(s.id + " " + r.sid) {
				got++
			}
		}
		if got != n {
			rt.Errorf("%s came to %d members of %d groups", s.id, got, n)
		}
		s.groups = rest
	}
}

// take takes off one delivery; false if there is none.
func (c *connection) take(key string) bool {
	if c.got[key] == 0 {
		return false
	}
	if c.got[key]--; c.got[key] == 0 {
		delete(c.got, key)
	}
	return true
}
