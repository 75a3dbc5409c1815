package conn_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

func TestInfo(t *testing.T) {
	b := open(t, nil)
	c, d := b.dial(), b.dial()
	if c.info.ServerID != "ID" || c.info.Version != "2.15.2" || !c.info.Headers || c.info.MaxPayload != 1<<20 || c.info.ClientIP != "127.0.0.1" ||
		c.info.AuthRequired || c.info.Nonce != "" || c.info.ClientID == 0 || c.info.ClientID == d.info.ClientID {
		t.Errorf("INFO = %+v", c.info)
	}
	c.send(`CONNECT {"verbose":false,"protocol":1}` + "\r\nPING\r\nPING\r\n")
	c.expect("PONG")
	if line := c.line(); !strings.HasPrefix(line, "INFO ") || !strings.Contains(line, `"connect_info":true`) || !strings.Contains(line, `"remote_account":"$G"`) {
		t.Errorf("behind the first PONG: %q", line)
	}
	c.expect("PONG") // without another INFO
	d.connect("")    // protocol 0: no second INFO
	d.send("PING\r\n")
	d.expect("PONG")

	op := operatortest.New(t)
	e, _ := enrolled(t, op, operatortest.NewSource(), nil)
	x, y := e.dial(), e.dial()
	if !x.info.AuthRequired || len(x.info.Nonce) < 15 || x.info.Nonce == y.info.Nonce {
		t.Errorf("INFO with authentication = %+v", x.info)
	}
}

func TestVerboseIsTheDefault(t *testing.T) {
	c := open(t, nil).dial()
	c.send("SUB a 1\r\n")
	c.expect("+OK")
	c.send("CONNECT {}\r\nPUB a 2\r\nhi\r\nUNSUB 1\r\nPING\r\n")
	// What was subscribed before the first CONNECT stays; a second one ends it.
	c.expect("+OK", "+OK", "MSG a 1 2", "hi", "+OK", "PONG")
	c.send("SUB a 2\r\nCONNECT {}\r\nPUB a 2\r\nhi\r\nPING\r\n")
	c.expect("+OK", "+OK", "+OK", "PONG")
}

func TestPedantic(t *testing.T) {
	c := open(t, nil).dial()
	c.connect(`,"pedantic":true`)
	c.send("SUB > 1\r\nPUB foo.* 0\r\n\r\nPING\r\n")
	c.expect("-ERR 'Invalid Publish Subject'", "MSG foo.* 1 0", "", "PONG")
}

func TestErrorsThatDoNotEndTheConnection(t *testing.T) {
	c := open(t, func(h *conn.Host) { h.Options().MaxSubTokens, h.Options().MaxSubscriptions = 4, 2 }).dial()
	c.connect("")
	c.send("SUB a..b 1\r\nSUB a _sys_ 1\r\nSUB a.b.c.d.e 1\r\nPUB _GR_.x 0\r\n\r\nPUB a _R_.x 0\r\n\r\nPING\r\n")
	c.expect("-ERR 'Invalid Subject'", `-ERR 'Permissions Violation for Subscription to "a" using queue "_sys_"'`,
		`-ERR 'Permissions Violation for Subscription to "a.b.c.d.e", too many tokens'`,
		`-ERR 'Permissions Violation for Publish to "_GR_.x"'`, `-ERR 'Permissions Violation for Publish with Reply of "_R_.x"'`, "PONG")
	c.send("SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nUNSUB 2\r\nSUB c 3\r\nPUB c 0\r\n\r\nPING\r\n")
	c.expect("-ERR 'maximum subscriptions exceeded'", "MSG c 3 0", "", "PONG")
}

func TestErrorsThatEndTheConnection(t *testing.T) {
	for name, c := range map[string]struct {
		send string
		want []string
	}{
		"unknown verb":               {"FOO\r\n", []string{"-ERR 'Unknown Protocol Operation'"}},
		"control line over limit":    {"SUB " + strings.Repeat("a", 5000) + " 1\r\n", []string{"-ERR 'maximum control line exceeded'"}},
		"payload over limit":         {"PUB a 1048577\r\n", []string{"-ERR 'Maximum Payload Violation'"}},
		"wrong arguments":            {"PUB a\r\n", nil},
		"sub without sid":            {"SUB a\r\n", nil},
		"headers not negotiated":     {"HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n", nil},
		"connect that is no JSON":    {"CONNECT {\r\n", nil},
		"unknown protocol":           {`CONNECT {"protocol":2}` + "\r\n", []string{"-ERR 'invalid client protocol'"}},
		"no_responders, no headers":  {`CONNECT {"verbose":false,"no_responders":true}` + "\r\n", []string{"-ERR 'no responders requires headers support'"}},
		"-ERR":                       {"-ERR 'x'\r\n", nil},
		"what came before is heard":  {"PING\r\nFOO\r\n", []string{"PONG", "-ERR 'Unknown Protocol Operation'"}},
		"an account by name":         {`CONNECT {"account":"x"}` + "\r\n", []string{"-ERR 'Authorization Violation'"}},
		"payload that does not end":  {"PUB a 2\r\nhello\r\n", []string{"-ERR 'Unknown Protocol Operation'"}},
		"header beyond the message":  {`CONNECT {"verbose":false,"headers":true}` + "\r\nHPUB a 20 12\r\nNATS/1.0\r\n\r\n\r\n", nil},
		"too many arguments of HPUB": {`CONNECT {"verbose":false,"headers":true}` + "\r\nHPUB a b c 12 12\r\nNATS/1.0\r\n\r\n\r\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			x := open(t, nil).dial()
			x.connect("")
			x.send(c.send)
			x.expectEnd(c.want...)
		})
	}
}

func TestHeadersAndNoResponders(t *testing.T) {
	b := open(t, nil)
	with, without := b.dial(), b.dial()
	with.connect(`,"headers":true,"no_responders":true`)
	without.connect("")
	with.send("SUB a 1\r\nSUB r.* 2\r\nPING\r\n")
	with.expect("PONG")
	without.send("SUB a 7\r\nPING\r\n")
	without.expect("PONG")
	with.send("HPUB a re 12 14\r\nNATS/1.0\r\n\r\nhi\r\nHPUB a 0 2\r\nhi\r\nPING\r\n")
	with.expect("HMSG a 1 re 12 14", "NATS/1.0", "", "hi", "MSG a 1 2", "hi", "PONG")
	without.expect("MSG a 7 re 2", "hi", "MSG a 7 2", "hi")
	with.send("PUB nobody r.1 2\r\nhi\r\nPING\r\n")
	with.expect("HMSG r.1 2 38 38", "NATS/1.0 503", "Nats-Subject: nobody", "", "", "PONG")
	without.send("PUB nobody a 2\r\nhi\r\nPING\r\n") // did not ask for it
	without.expect("PONG")
	eventually(t, "the count", func() bool { return b.usage.delivered.Load() == 4 && b.usage.published.Load() == 4 })
	if got := b.usage.deliveredBytes.Load(); got != 14+2+2+2 {
		t.Errorf("%d bytes were billed as delivered", got)
	}
}

func TestEcho(t *testing.T) {
	b := open(t, nil)
	quiet, other := b.dial(), b.dial()
	quiet.connect(`,"echo":false`)
	other.connect("")
	quiet.send("SUB a 1\r\nSUB a q 2\r\nPING\r\n")
	quiet.expect("PONG")
	other.send("SUB a 1\r\nPING\r\n")
	other.expect("PONG")
	quiet.send("PUB a 0\r\n\r\nPING\r\n")
	quiet.expect("PONG")
	other.expect("MSG a 1 0", "")
	other.send("PUB a 0\r\n\r\n")
	other.expect("MSG a 1 0", "")
	got := map[string]bool{quiet.line() + quiet.line(): true, quiet.line() + quiet.line(): true}
	if !got["MSG a 1 0"] || !got["MSG a 2 0"] {
		t.Errorf("another's message comes to both subscriptions: %v", got)
	}
}

func TestCredentials(t *testing.T) {
	op := operatortest.New(t)
	acct := op.Account("acme")
	acct.Claims.Limits.Conn, acct.Claims.Limits.Payload = 2, 10
	u := acct.User("ann", func(c *jwt.UserClaims) { c.Limits.Subs = 0 })
	b, registry := enrolled(t, op, operatortest.NewSource(acct), nil)
	c := b.dial()
	c.login(u)
	c.send("SUB a 1\r\nPING\r\n")
	c.expect("-ERR 'maximum subscriptions exceeded'", "PONG")
	d := b.dial()
	d.login(u)
	third := b.dial()
	third.send(credentials(third, u))
	third.expectEnd("-ERR 'maximum account active connections exceeded'")
	d.send("PUB a 11\r\n")
	d.expectEnd("-ERR 'Maximum Payload Violation'")
	eventually(t, "the place is free", func() bool { a, err := registry.Get(t.Context(), acct.Key); return err == nil && a.Members() == 1 })
	e := b.dial()
	e.login(u)
	acct.Claims.Revocations = jwt.RevocationList{u.Key: time.Now().Unix()}
	if err := registry.Apply(acct.Key, acct.Token(), 9); err != nil {
		t.Fatal(err)
	}
	c.expectEnd("-ERR 'User Authentication Revoked'")
	e.expectEnd("-ERR 'User Authentication Revoked'")
	f := b.dial()
	f.send("PING\r\n" + credentials(f, u))
	f.expectEnd("-ERR 'Authorization Violation'")
	g := b.dial()
	g.send(credentials(f, u)) // signed for another nonce
	g.expectEnd("-ERR 'Authorization Violation'")
	if n := b.Totals.AuthErrors.Load(); n != 2 {
		t.Errorf("%d refusals are counted, want 2", n)
	}
}

// A second CONNECT changes the account: nothing of the first one stays.
func TestSecondConnect(t *testing.T) {
	op := operatortest.New(t)
	one, two := op.Account("one"), op.Account("two")
	ann, bob := one.User("ann", nil), two.User("bob", nil)
	b, registry := enrolled(t, op, operatortest.NewSource(one, two), nil)
	c, other := b.dial(), b.dial()
	c.login(ann)
	other.login(ann)
	c.send("SUB a 1\r\nPING\r\n")
	c.expect("PONG")
	c.send(credentials(c, bob) + "PING\r\n")
	c.expect("PONG")
	other.send("PUB a 0\r\n\r\nPING\r\n")
	other.expect("PONG")
	c.send("SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n")
	c.expect("MSG a 1 2", "hi", "PONG")
	for key, want := range map[string]int{one.Key: 1, two.Key: 1} {
		if a, err := registry.Get(t.Context(), key); err != nil || a.Members() != want {
			t.Errorf("members = %v, %v", a, err)
		}
	}
	c.send("CONNECT {\"verbose\":false}\r\nPING\r\n") // who shows nothing stays who it is
	c.expect("PONG")
	c.send("CONNECT {\"user\":\"x\"}\r\n") // the secrets of before are forgotten
	c.expectEnd("-ERR 'Authorization Violation'")
	eventually(t, "both have left", func() bool { a, _ := registry.Get(t.Context(), two.Key); return a.Members() == 0 })
}

// billed is a source that keeps the accounts' usage.
type billed struct {
	*operatortest.Source
	all map[string]*usage
}

func (b billed) usage(key string) *usage { return b.all[key] }

// What was queued before a second CONNECT is the first account's to pay.
func TestSecondConnectBillsTheFirstAccount(t *testing.T) {
	op := operatortest.New(t)
	one, two := op.Account("one"), op.Account("two")
	ann, bob := one.User("ann", nil), two.User("bob", nil)
	source := billed{operatortest.NewSource(one, two), map[string]*usage{one.Key: {}, two.Key: {}}}
	b, _ := enrolled(t, op, source, nil)
	c, pub := b.dial(), b.dial()
	c.login(ann)
	pub.login(ann)
	c.send("SUB a 1\r\nPING\r\n")
	c.expect("PONG")
	body := strings.Repeat("x", 1<<20)
	const n = 16 // more than the socket takes
	for range n {
		pub.send("PUB a 1048576\r\n" + body + "\r\n")
	}
	pub.send("PING\r\n")
	pub.expect("PONG")
	c.send(credentials(c, bob))
	for range n {
		c.expect("MSG a 1 1048576", body)
	}
	c.send("SUB b 1\r\nPUB b 0\r\n\r\nPING\r\n")
	c.expect("MSG b 1 0", "", "PONG")
	for key, want := range map[string]uint64{one.Key: n, two.Key: 1} {
		if got := source.all[key].delivered.Load(); got != want {
			t.Errorf("%d deliveries are charged, want %d", got, want)
		}
	}
}

func TestResponsesAreAllowedAsOftenAsGranted(t *testing.T) {
	op := operatortest.New(t)
	acct := op.Account("acme")
	role := acct.Role("svc", jwt.Permissions{Resp: &jwt.ResponsePermission{MaxMsgs: 2, Expires: time.Hour}})
	svc, ann := acct.ScopedUser(role, "svc"), acct.User("ann", nil)
	b, registry := enrolled(t, op, operatortest.NewSource(acct), nil)
	s, c := b.dial(), b.dial()
	s.login(svc)
	c.login(ann)
	s.send("SUB svc 1\r\nPUB re 0\r\n\r\nPING\r\n")
	s.expect(`-ERR 'Permissions Violation for Publish to "re"'`, "PONG")
	c.send("PUB svc re 0\r\n\r\nPING\r\n")
	c.expect("PONG")
	s.expect("MSG svc 1 re 0", "")
	s.send("PUB re 0\r\n\r\nPUB re 0\r\n\r\nPUB re 0\r\n\r\nPING\r\n")
	s.expect(`-ERR 'Permissions Violation for Publish to "re"'`, "PONG")
	c.send("PUB svc re 0\r\n\r\nPING\r\n")
	c.expect("PONG")
	s.expect("MSG svc 1 re 0", "")
	acct.SetRole(role, "svc", jwt.Permissions{Pub: jwt.Permission{Deny: []string{">"}}})
	if err := registry.Apply(acct.Key, acct.Token(), 9); err != nil {
		t.Fatal(err)
	}
	s.send("PUB re 0\r\n\r\nPING\r\n")
	s.expect(`-ERR 'Permissions Violation for Publish to "re"'`, "PONG")
}

// A 10 MB CONNECT line is refused, the client can read why though it goes on
// writing, and the broker has not held it.
func TestEndlessConnectLine(t *testing.T) {
	op := operatortest.New(t)
	b, _ := enrolled(t, op, operatortest.NewSource(), nil)
	c := b.dial()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var writer sync.WaitGroup
	writer.Go(func() {
		piece := bytes.Repeat([]byte("a"), 16<<10)
		_, _ = c.nc.Write([]byte("CONNECT {"))
		for range 10 << 20 / len(piece) {
			if _, err := c.nc.Write(piece); err != nil {
				return
			}
		}
	})
	c.expectEnd("-ERR 'maximum control line exceeded'")
	writer.Wait()
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

func TestMaxConnections(t *testing.T) {
	b := open(t, func(h *conn.Host) { h.Options().MaxConnections = 1 })
	c := b.dial()
	c.connect("")
	b.dial().expectEnd("-ERR 'maximum connections exceeded'")
}

// A fault ends one connection, and what it left half done reaches nobody else.
func TestPanicEndsOneConnection(t *testing.T) {
	b := open(t, nil)
	bad, good, listener := b.dial(), b.dial(), b.dial()
	for _, c := range []*client{bad, good, listener} {
		c.connect("")
	}
	listener.send("SUB > 1\r\nPING\r\n")
	listener.expect("PONG")
	b.usage.poisoned.Store(true)
	bad.send("PUB poison 0\r\n\r\n")
	bad.expectEnd()
	b.usage.poisoned.Store(false)
	for i := range 20 {
		good.send(fmt.Sprintf("PUB good.%d 0\r\n\r\nPING\r\n", i))
		good.expect("PONG")
		listener.expect(fmt.Sprintf("MSG good.%d 1 0", i), "")
	}
	if got := b.usage.published.Load(); got != 20 {
		t.Errorf("%d messages are counted, want 20", got)
	}
	eventually(t, "the connection is gone", func() bool { return b.Len() == 2 })
}

func TestAuthenticationTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := operatortest.New(t)
		b, _ := enrolled(t, op, operatortest.NewSource(), nil)
		begin := time.Now()
		c := b.pipe()
		c.expectEnd("-ERR 'Authentication Timeout'")
		if took := time.Since(begin); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("after %v", took)
		}
		b.Close(context.Background(), 0)
	})
}

func TestStaleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, func(h *conn.Host) { h.Options().PingInterval, h.Options().PingMax = 5*time.Second, 2 })
		quiet, alive := b.pipe(), b.pipe()
		begin := time.Now()
		alive.connect("")
		quiet.connect("")
		quiet.expect("PING", "PING")
		alive.expect("PING")
		alive.send("PONG\r\n")
		quiet.expectEnd("-ERR 'Stale Connection'")
		if took := time.Since(begin); took < 10*time.Second || took > 15*time.Second {
			t.Errorf("stale after %v", took)
		}
		alive.send("PING\r\n")
		for alive.line() != "PONG" {
		}
		if b.Totals.Stale.Load() != 1 {
			t.Errorf("%d stale connections are counted", b.Totals.Stale.Load())
		}
		b.Close(context.Background(), 0)
	})
}

func TestCredentialExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := operatortest.New(t)
		acct := op.Account("acme")
		u := acct.User("ann", func(c *jwt.UserClaims) { c.Expires = time.Now().Add(90 * time.Second).Unix() })
		b, _ := enrolled(t, op, operatortest.NewSource(acct), nil)
		begin := time.Now()
		c := b.pipe()
		c.login(u)
		c.expect("PING")
		c.send("PONG\r\n")
		_ = c.nc.SetReadDeadline(time.Time{})
		line, err := c.in.ReadString('\n')
		if err != nil || line != "-ERR 'User Authentication Expired'\r\n" {
			t.Errorf("got %q, %v", line, err)
		}
		if took := time.Since(begin); took < 90*time.Second || took > 92*time.Second {
			t.Errorf("after %v", took)
		}
		b.Close(context.Background(), 0)
	})
}
