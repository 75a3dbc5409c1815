package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestTheLifeOfATenant goes through all that happens to a tenant, with the built
// programs and the command line alone, on an installation of which a control
// plane and a member of etcd are killed on the way, and whose store is lost and
// restored in the end. With -v it tells each step and what that took.
func TestTheLifeOfATenant(t *testing.T) {
	l := &life{t: t, last: time.Now()}
	l.installation = newInstallation(t)
	l.tell("an etcd of 3 members with TLS and users, a ledger in Postgres, %d control planes and %d brokers, enrolled by join tokens, run", len(l.controls), len(l.brokers))
	l.signUps()
	l.shares()
	l.rotates()
	l.revokes("everything runs", l.credentialOf(l.acme), l.acme.CredsFile)
	l.retires()

	l.controls[0].end(syscall.SIGKILL)
	l.etcd.Members[0].Kill(t)
	l.flows()
	l.tell("a control plane and a member of etcd are killed: messages go on, nobody was disconnected")
	l.settles()
	leaked := filepath.Join(l.dir, "leaked.creds")
	l.revokes("a control plane and a member of etcd are away", l.issue(l.acme, "default", leaked), leaked)
	l.endsAnAccount()
	l.controls[0].start(l.etcdFlags)
	l.etcd.Members[0].Start(t)
	l.etcd.Await(t)
	l.tell("the control plane and the member of etcd are back")

	l.losesTheStore()
	for _, gone := range []string{l.acme.CredsFile, leaked, filepath.Join(l.dir, "orders.creds")} {
		l.refusedEverywhere("revoked or purged before the store was restored", gone)
	}
	l.flows()
	l.tell("what was revoked or purged stays refused by every broker, and what was shared still flows")
	initech := l.onStaff(0).signUp("initech")
	all := l.onEach(initech.CredsFile)
	reached(t, all[0], all[2])
	l.tell("another tenant signs up at the control plane that had been killed, and connects at every broker")
	l.neverDisconnected()
	l.tell("in all that time none of the %d clients that may stay was disconnected once", len(l.ours)+len(l.theirs))
}

// life is two tenants on an installation.
type life struct {
	*installation

	t            *testing.T
	acme, globex tenant
	ours, theirs []*nats.Conn // at each broker, until the end; acme's from its rotation on
	lost         atomic.Int64 // connections that were to stay
	oldKey       string       // that acme's role signed with at first
	oldClients   []*nats.Conn // of what it signed, at each broker
	sent         int

	step int
	last time.Time
}

// tell says what was done since the last time, and how long that took.
func (l *life) tell(format string, args ...any) {
	l.t.Helper()
	l.step++
	l.t.Logf("%2d. %7s  %s", l.step, time.Since(l.last).Round(time.Millisecond), fmt.Sprintf(format, args...))
	l.last = time.Now()
}

// as are the arguments of a call by an organization's owner, or by staff at the
// n-th control plane.
func as(who tenant, args ...string) []string { return append(args, "--context", who.Context) }

func staff(n int, args ...string) []string { return append(args, "--context", fmt.Sprint("staff", n)) }

// onStaff selects the control plane that the next tenant signs up at.
func (l *life) onStaff(n int) *home {
	l.t.Helper()
	l.covey("context", "use", fmt.Sprint("staff", n))
	return l.home
}

// at is a broker, for what boxes can do.
func (l *life) at(b *brokerProcess) *box { return &box{home: l.home, ready: ready{NATSURL: b.url}} }

// onEach connects at each broker as soon as it lets the user in.
func (l *life) onEach(creds string, opts ...nats.Option) (all []*nats.Conn) {
	l.t.Helper()
	for _, b := range l.brokers {
		var nc *nats.Conn
		var err error
		eventually(l.t, b.name+" lets the user in", func() bool {
			nc, err = nats.Connect(b.url, append([]nats.Option{nats.UserCredentials(creds), nats.NoReconnect()}, opts...)...)
			return err == nil
		})
		l.t.Cleanup(nc.Close)
		all = append(all, nc)
	}
	return all
}

// stays is for clients that nothing may disconnect.
func (l *life) stays() nats.Option {
	return nats.ClosedHandler(func(*nats.Conn) { l.lost.Add(1) })
}

func (l *life) neverDisconnected() {
	l.t.Helper()
	for _, nc := range append(l.ours, l.theirs...) {
		flush(l.t, nc)
	}
	if n := l.lost.Load(); n != 0 {
		l.t.Errorf("%d clients were disconnected", n)
	}
}

func (l *life) signUps() {
	l.t.Helper()
	began := time.Now()
	l.acme = l.onStaff(1).signUp("acme")
	signed := time.Since(began)
	sub := l.onEach(l.acme.CredsFile)
	m := subscribe(l.t, sub[0], "first", "")
	publish(l.t, sub[0], "first", "message")
	next(l.t, m)
	l.tell("acme signs up at one control plane (%s), and its credentials work at every broker", signed.Round(time.Millisecond))
	for _, nc := range sub[1:] {
		reached(l.t, sub[0], nc)
	}
	l.oldClients = sub
	l.globex = l.onStaff(0).signUp("globex")
	l.theirs = l.onEach(l.globex.CredsFile, l.stays())
	reached(l.t, l.theirs[0], l.theirs[1])
	reached(l.t, l.theirs[1], l.theirs[2])
	l.tell("globex signs up at the other, and its clients reach each other from broker to broker")
}

// shares shares a stream and a service of acme with globex.
func (l *life) shares() {
	l.t.Helper()
	l.covey(as(l.acme, "export", "create", "news", "news.>", "--account", "default", "--type", "stream", "--audience", "offered")...)
	l.covey(as(l.acme, "export", "create", "prices", "price.*", "--account", "default", "--type", "service", "--audience", "offered")...)
	for _, export := range []string{"news", "prices"} {
		l.covey(as(l.acme, "share", "offer", export, "--account", "default", "--to", "globex")...)
		var offered struct {
			Shares []struct{ Name, State string }
		}
		l.coveyJSON(&offered, as(l.globex, "share", "list")...)
		share := lastID(offered.Shares[0].Name) // the newest
		if o := l.run("covey", as(l.globex, "import", "create", export, "--account", "default", "--share", share)...); o.code == 0 {
			l.t.Errorf("what was not accepted is imported: %s", o.stdout)
		}
		l.covey(as(l.globex, "share", "accept", share, "--account", "default")...)
		local := map[string]string{"news": "acme.news.>", "prices": "acme.price.$1"}[export]
		l.covey(as(l.globex, "import", "create", export, "--account", "default", "--share", share, "--local", local)...)
	}
	l.sharing(l.oldClients)
	l.tell("acme offers a stream and a service, globex accepts both: messages and requests go between them over the brokers' routes")
}

// sharing sends what is shared from each broker to the next.
func (l *life) sharing(ours []*nats.Conn) {
	l.t.Helper()
	for i, nc := range ours {
		far := l.theirs[(i+1)%len(l.theirs)]
		answer, err := nc.Subscribe("price.*", func(m *nats.Msg) { _ = m.Respond([]byte(m.Subject)) })
		if err != nil {
			l.t.Fatal(err)
		}
		flush(l.t, nc)
		eventually(l.t, "the other organization is answered", func() bool {
			m, err := far.Request("acme.price.tea", nil, time.Second)
			return err == nil && string(m.Data) == "price.tea"
		})
		news := subscribe(l.t, far, "acme.news.>", "")
		eventually(l.t, "the other organization hears", func() bool {
			publish(l.t, nc, "news.hello", "")
			_, err := news.NextMsg(100 * time.Millisecond)
			return err == nil
		})
		for range 10 {
			publish(l.t, nc, "news.today", "")
		}
		for n := 0; n < 10; {
			if m := next(l.t, news); m.Subject == "acme.news.today" {
				n++
			}
		}
		for _, s := range []*nats.Subscription{answer, news} {
			if err := s.Unsubscribe(); err != nil {
				l.t.Fatal(err)
			}
		}
	}
}

// flows checks that all who may stay are there, and that what they send to each
// other, and share, comes.
func (l *life) flows() {
	l.t.Helper()
	for _, org := range [][]*nats.Conn{l.ours, l.theirs} {
		for i, from := range org {
			l.sent++
			to := org[(i+1)%len(org)]
			sub := subscribe(l.t, to, fmt.Sprint("flow.", l.sent), "")
			reached(l.t, from, to) // what was subscribed before is known
			publish(l.t, from, sub.Subject, "")
			next(l.t, sub)
			if err := sub.Unsubscribe(); err != nil {
				l.t.Fatal(err)
			}
		}
	}
	l.sharing(l.ours)
	l.neverDisconnected()
}

// issue issues another credential of a user of the default account.
func (l *life) issue(who tenant, user, file string) (name string) {
	l.t.Helper()
	var issued struct{ Credential struct{ Name string } }
	l.coveyJSON(&issued, as(who, "creds", "issue", user, "--account", "default", "--out", file)...)
	return issued.Credential.Name
}

// credentialOf is the only one that the default user has from the sign-up.
func (l *life) credentialOf(who tenant) string {
	l.t.Helper()
	var list struct {
		Credentials []struct {
			Name string
		}
	}
	l.coveyJSON(&list, as(who, "creds", "list", who.User)...)
	return list.Credentials[len(list.Credentials)-1].Name // the newest come first
}

// refusedEverywhere checks that no broker lets a credential in.
func (l *life) refusedEverywhere(what, creds string) {
	l.t.Helper()
	for _, b := range l.brokers {
		l.at(b).mustRefuse(strings.Join([]string{what, "at", b.name}, " "), creds)
	}
}
