package conn_test

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

func quotas(t *testing.T, texts ...string) accounts.Quotas {
	t.Helper()
	all := accounts.Quotas{}
	for _, text := range texts {
		name, value, _ := strings.Cut(text, "=")
		q, err := accounts.ParseQuota(name, value)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = q
	}
	return all
}

// limited runs a Host whose one account has limits.
func limited(t *testing.T, texts ...string) (*broker, *account.Account) {
	t.Helper()
	u := &usage{}
	a := account.New("$G", u, &account.State{Limits: unlimited(), Quotas: quotas(t, texts...)})
	b := &broker{t: t, usage: u, Host: &conn.Host{
		Auth: &auth.Open{Account: a}, Log: slog.New(slog.DiscardHandler),
		Info: conn.Info{ServerID: "ID", Proto: 1, Headers: true, MaxPayload: 1 << 20},
	}}
	b.SetOptions(conn.DefaultOptions())
	b.run()
	return b, a
}

// TestSlowIsExact floods with a clock of its own: what goes through is within
// 2 % of the rate and its burst, and in the end nothing is lost.
func TestSlowIsExact(t *testing.T) {
	for _, c := range []struct {
		quota  string
		size   int
		rate   float64 // messages a second
		burst  float64
		after  time.Duration
		slowed string
	}{
		{"msgs-in=1000/100", 4, 1000, 100, 4 * time.Second, "messages"},
		{"msgs-in=20/1", 4, 20, 1, 60 * time.Second, "few messages"},
		{"bytes-in=100000/1000", 100, 1000, 10, 4 * time.Second, "bytes"},
		{"msgs-out=3000/300", 4, 1000, 100, 4 * time.Second, "deliveries"},
		{"bytes-out=300000/3000", 100, 1000, 10, 4 * time.Second, "delivered bytes"},
	} {
		t.Run(c.slowed, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, _ := limited(t, c.quota)
				total := 5000
				if c.rate < 100 {
					total = 1500
				}
				var wg sync.WaitGroup
				for range 3 { // what is out counts for each of them
					s := b.pipe()
					s.connect("")
					s.send("SUB a 1\r\nPING\r\n")
					s.expect("PONG")
					_ = s.nc.SetReadDeadline(time.Time{})
					wg.Go(func() {
						for range 2 * total { // a line, and the message
							if _, err := s.in.ReadString('\n'); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				p := b.pipe()
				p.connect("")
				_ = p.nc.SetReadDeadline(time.Time{})
				wg.Go(func() { _, _ = p.in.WriteTo(io.Discard) }) // PINGs
				wg.Go(func() {
					defer func() { _ = p.nc.Close() }()
					p.write(fmt.Sprintf("PUB a %d\r\n%s\r\n", c.size, strings.Repeat("x", c.size)), total)
				})
				<-time.After(c.after)
				synctest.Wait()
				got := float64(b.usage.published.Load())
				floor := max(c.burst, c.rate/20)
				if want := c.rate * c.after.Seconds(); got < want*0.98 || got > want*1.02+floor+1 {
					t.Errorf("%v messages in %v, want %v", got, c.after, want)
				}
				wg.Wait()
				synctest.Wait()
				if got := b.usage.published.Load(); got != uint64(total) {
					t.Errorf("%d messages of %d came through", got, total)
				}
				if got := b.usage.delivered.Load(); got != uint64(3*total) {
					t.Errorf("%d deliveries of %d", got, 3*total)
				}
			})
		})
	}
}

// write sends many messages, however long it takes.
func (c *client) write(one string, n int) {
	_ = c.nc.SetWriteDeadline(time.Time{})
	for sent := 0; sent < n; sent += 10 {
		if _, err := c.nc.Write([]byte(strings.Repeat(one, min(10, n-sent)))); err != nil {
			c.t.Errorf("write: %v", err)
			return
		}
	}
}

// TestSlowOverSockets slows real connections, in clear and behind TLS, and loses
// nothing. While a client waits there is no goroutine for it.
func TestSlowOverSockets(t *testing.T) {
	b, _ := limited(t, "msgs-in=4000/100")
	s := b.dial()
	s.connect("")
	s.send("SUB a 1\r\nPING\r\n")
	s.expect("PONG")
	const each, publishers = 400, 4
	var wg sync.WaitGroup
	start := time.Now()
	for i := range publishers {
		p := b.dial()
		p.connect("")
		one := fmt.Sprintf("PUB a 6000\r\n%06d%s\r\n", i, strings.Repeat("x", 5994))
		wg.Go(func() { p.write(one, each) })
	}
	counts := map[string]int{}
	for range each * publishers {
		s.expect("MSG a 1 6000")
		counts[s.line()[:6]]++
	}
	wg.Wait()
	if len(counts) != publishers || counts["000000"] != each {
		t.Errorf("got %v, want %d of each", counts, each)
	}
	if least := time.Duration(each*publishers-300) * time.Second / 4000; time.Since(start) < least {
		t.Errorf("it took %v, less than %v", time.Since(start), least)
	}
}

// TestDisconnectWhileSlowed ends a connection that waits for a long time.
func TestDisconnectWhileSlowed(t *testing.T) {
	b, a := limited(t, "msgs-in=1/1")
	c := b.dial()
	c.connect("")
	c.send(strings.Repeat("PUB a 1\r\nx\r\n", 10_000))
	eventually(t, "the first burst", func() bool { return b.usage.published.Load() > 0 })
	b.Clients()[0].Disconnect(account.AccountGone)
	c.expectEnd("-ERR 'Authorization Violation'")
	eventually(t, "it is gone", func() bool { return a.Members() == 0 })
}

// TestLimitLiftedWhileSlowed lets go a client that waits.
func TestLimitLiftedWhileSlowed(t *testing.T) {
	b, a := limited(t, "msgs-in=1/1")
	c := b.dial()
	c.connect("")
	c.send(strings.Repeat("PUB a 1\r\nx\r\n", 1000) + "PING\r\n")
	eventually(t, "the first burst", func() bool { return b.usage.published.Load() > 0 })
	a.Apply(&account.State{Limits: unlimited()})
	c.expect("PONG")
	if got := b.usage.published.Load(); got != 1000 {
		t.Errorf("%d messages of 1000", got)
	}
}

// TestRefuse tells once for each batch what was refused, before the answer to a
// PING behind it, and goes on.
func TestRefuse(t *testing.T) {
	b, _ := limited(t, "msgs-in=1/3/refuse")
	c := b.dial()
	c.connect("")
	c.send("SUB a 1\r\n" + strings.Repeat("PUB a 1\r\nx\r\n", 5) + "PING\r\n")
	for range 3 {
		c.expect("MSG a 1 1", "x")
	}
	line := c.line()
	if !strings.HasPrefix(line, `-ERR 'Permissions Violation for Publish to "a", over the limit msgs-in, 2 refused, retry in `) {
		t.Errorf("got %q", line)
	}
	c.expect("PONG")
	if n := b.Totals.Shed.Refused.Messages.Load(); n != 2 {
		t.Errorf("%d were counted", n)
	}
}

// TestRefuseOut drops deliveries and tells the publisher.
func TestRefuseOut(t *testing.T) {
	b, _ := limited(t, "msgs-out=1/3/refuse")
	s, p := b.dial(), b.dial()
	s.connect("")
	p.connect("")
	s.send("SUB a 1\r\nPING\r\n")
	s.expect("PONG")
	p.send(strings.Repeat("PUB a 1\r\nx\r\n", 5) + "PING\r\n")
	line := p.line()
	if !strings.HasPrefix(line, `-ERR 'Permissions Violation for Publish to "a", over the limit msgs-out, 2 refused, retry in `) {
		t.Errorf("got %q", line)
	}
	p.expect("PONG")
	s.send("PING\r\n")
	for range 3 {
		s.expect("MSG a 1 1", "x")
	}
	s.expect("PONG")
	if n := b.Totals.Shed.Dropped.Messages.Load(); n != 2 {
		t.Errorf("%d were counted", n)
	}
}

// TestClose ends the connection that goes over a limit, and says why.
func TestClose(t *testing.T) {
	b, _ := limited(t, "bytes-in=1/10/close", "subscribes=1/1/close")
	c := b.dial()
	c.connect("")
	c.send("PUB a 10\r\n0123456789\r\nPUB b 1\r\nx\r\n")
	if line := c.line(); !strings.HasPrefix(line, `-ERR 'Permissions Violation for Publish to "b", over the limit bytes-in`) {
		t.Errorf("got %q", line)
	}
	c.expectEnd()
	c = b.dial()
	c.connect("")
	c.send("SUB a 1\r\nSUB b q 2\r\n")
	if line := c.line(); !strings.HasPrefix(line, `-ERR 'Permissions Violation for Subscription to "b" using queue "q", over the limit subscribes`) {
		t.Errorf("got %q", line)
	}
	c.expectEnd()
}

// TestSubscriptionsOfAnAccount counts those of all connections together, down
// again too.
func TestSubscriptionsOfAnAccount(t *testing.T) {
	b, a := limited(t, "subscriptions=3")
	first, second := b.dial(), b.dial()
	first.connect("")
	second.connect("")
	first.send("SUB a 1\r\nSUB b 2\r\nPING\r\n")
	first.expect("PONG")
	second.send("SUB a 1\r\nSUB a 1\r\nSUB b 2\r\nPING\r\n")
	second.expect("-ERR 'maximum subscriptions exceeded'", "PONG")
	first.send("UNSUB 1\r\nPING\r\n")
	first.expect("PONG")
	second.send("SUB b 2\r\nPING\r\n")
	second.expect("PONG")
	_ = first.nc.Close()
	eventually(t, "the first is gone", func() bool { return a.Members() == 1 })
	second.send("SUB c 3\r\nSUB d 4\r\nPING\r\n")
	second.expect("-ERR 'maximum subscriptions exceeded'", "PONG")
}

// TestConnectRate refuses, or lets wait, who connects too soon after others.
func TestConnectRate(t *testing.T) {
	op := operatortest.New(t)
	refusing, waiting := op.Account("refusing"), op.Account("waiting")
	refusing.Claims.Tags.Add("covey-limit:connects=1/2/refuse")
	waiting.Claims.Tags.Add("covey-limit:connects=20/1/slow")
	b, _ := enrolled(t, op, operatortest.NewSource(refusing, waiting), nil)
	user := refusing.User("u", nil)
	for range 2 {
		b.dial().login(user)
	}
	eventually(t, "too many at once", func() bool { // on a slow machine the rate may let some more in
		c := b.dial()
		c.send(credentials(c, user) + "PING\r\n")
		if line := c.line(); line != "PONG" {
			c.expectEnd()
			return line == "-ERR 'maximum account active connections exceeded'"
		}
		return false
	})
	user = waiting.User("u", nil)
	start := time.Now()
	for range 5 {
		b.dial().login(user)
	}
	if took := time.Since(start); took < 150*time.Millisecond {
		t.Errorf("5 connects at 20 a second took %v", took)
	}
}

// TestLimitsInClaims takes limits from an account's, a role's and a user's tags:
// each holds, and a user's can only lower.
func TestLimitsInClaims(t *testing.T) {
	op := operatortest.New(t)
	a := op.Account("a")
	role := a.Role("Reader", jwt.Permissions{})
	a.Claims.Tags.Add("covey-limit:msgs-in=1/8/refuse", "covey-role:reader:msgs-in=1/5/refuse", "covey-limit:user-connections=2")
	source := operatortest.NewSource(a)
	b, registry := enrolled(t, op, source, nil)
	sent := func(c *client) int {
		before := b.Sum().Traffic.InMessages
		c.send(strings.Repeat("PUB a 1\r\nx\r\n", 10) + "PING\r\n")
		if line := c.line(); !strings.HasPrefix(line, "-ERR 'Permissions Violation for Publish to ") {
			t.Fatalf("got %q", line)
		}
		c.expect("PONG")
		return int(b.Sum().Traffic.InMessages - before)
	}
	start := time.Now()
	given := func() int { return int(time.Since(start) / time.Second) } // by the rates, meanwhile
	lowered := b.dial()
	lowered.login(a.UserBy(role, "lowered", func(c *jwt.UserClaims) {
		c.SetScoped(true)
		c.Tags.Add("covey-limit:msgs-in=1/2/refuse")
	}))
	if n := sent(lowered); n != 2 {
		t.Errorf("a user with a lower limit than its role's sent %d", n)
	}
	raised := b.dial()
	u := a.UserBy(role, "raised", func(c *jwt.UserClaims) {
		c.SetScoped(true)
		c.Tags.Add("covey-limit:msgs-in=1000/1000/slow")
	})
	raised.login(u)
	if n := sent(raised); n != 5 {
		t.Errorf("a user with a higher limit than its role's sent %d", n)
	}
	plain := b.dial()
	plain.login(a.User("plain", nil))
	if n := sent(plain); n < 1 || n > 1+given() {
		t.Errorf("what the account had left was %d", n)
	}
	again := b.dial()
	again.login(u)
	if n := sent(again); n > given() {
		t.Errorf("a second connection of a user sent %d", n)
	}
	third := b.dial()
	third.send(credentials(third, u) + "PING\r\n")
	third.expectEnd("-ERR 'maximum account active connections exceeded'")

	a.Claims.Tags = nil
	if err := registry.Apply(a.Key, a.Token(), source.Put(a.Key, a.Token())); err != nil {
		t.Fatal(err)
	}
	raised.send(strings.Repeat("PUB a 1\r\nx\r\n", 1000) + "PING\r\n")
	raised.complains("-ERR 'Permissions Violation for Publish to", false)
}

// complains reads to the PONG and checks whether a line with that beginning came
// before.
func (c *client) complains(prefix string, want bool) {
	c.t.Helper()
	found := false
	for line := c.line(); line != "PONG"; line = c.line() {
		found = found || strings.HasPrefix(line, prefix)
	}
	if found != want {
		c.t.Errorf("%q came: %v", prefix, found)
	}
}

// TestForeignTags refuses claims whose limits are not understood.
func TestForeignTags(t *testing.T) {
	op := operatortest.New(t)
	bad, good := op.Account("bad"), op.Account("good")
	bad.Claims.Tags.Add("covey-limit:msgs-in=many")
	b, _ := enrolled(t, op, operatortest.NewSource(bad, good), nil)
	for _, u := range []*operatortest.User{
		bad.User("u", nil),
		good.User("u", func(c *jwt.UserClaims) { c.Tags.Add("covey-limit:weight=9") }),
		good.User("u", func(c *jwt.UserClaims) { c.Tags.Add("covey-role:x:msgs-in=9") }),
	} {
		c := b.dial()
		c.send(credentials(c, u) + "PING\r\n")
		c.expectEnd("-ERR 'Authorization Violation'")
	}
}
