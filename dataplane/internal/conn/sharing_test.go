package conn_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

// sharers are two accounts with a client each; one exports a stream and a
// service to the other.
type sharers struct {
	t        *testing.T
	source   *operatortest.Source
	registry *account.Registry
	host     *conn.Host
	from, to *operatortest.Account
	p, c     *client
}

func newSharers(t *testing.T, options ...func(*conn.Host)) *sharers {
	t.Helper()
	op := operatortest.New(t)
	s := &sharers{t: t, from: op.Account("p"), to: op.Account("c")}
	s.from.Claims.Exports.Add(&jwt.Export{Subject: "s.>", Type: jwt.Stream}, &jwt.Export{Subject: "q", Type: jwt.Service})
	s.take("s.>", "q")
	s.source = operatortest.NewSource(s.from, s.to)
	b, registry := enrolled(t, op, s.source, nil)
	s.registry, s.host = registry, b.Host
	for _, o := range options {
		o(s.host)
	}
	s.p, s.c = b.dial(), b.dial()
	s.p.login(s.from.User("u", nil))
	s.c.login(s.to.User("u", nil))
	return s
}

// take sets what is imported.
func (s *sharers) take(subjects ...string) {
	s.to.Claims.Imports = nil
	for _, subj := range subjects {
		k := jwt.Stream
		if subj == "q" {
			k = jwt.Service
		}
		s.to.Claims.Imports.Add(&jwt.Import{Account: s.from.Key, Subject: jwt.Subject(subj), Type: k})
	}
}

func (s *sharers) put(a *operatortest.Account) {
	s.t.Helper()
	token := a.Token()
	if err := s.registry.Apply(a.Key, token, s.source.Put(a.Key, token)); err != nil {
		s.t.Fatal(err)
	}
}

// hears publishes to the stream and reports whether the importer gets it.
func (s *sharers) hears(subj string) bool {
	s.t.Helper()
	s.p.send("PUB " + subj + " 1\r\nx\r\nPING\r\n")
	s.p.expect("PONG")
	s.c.send("PING\r\n")
	line := s.c.line()
	if line == "PONG" {
		return false
	}
	if want := "MSG " + subj + " 1 1"; line != want {
		s.t.Fatalf("got %q, want %q", line, want)
	}
	s.c.expect("x", "PONG")
	return true
}

// Whoever has subscribed hears a stream from the moment it is shared, and no
// longer than it is.
func TestSubscribersFollowWhatIsShared(t *testing.T) {
	s := newSharers(t)
	s.c.send("SUB > 1\r\nPING\r\n")
	s.c.expect("PONG")
	want := func(when string, want bool) {
		t.Helper()
		if got := s.hears("s.a"); got != want {
			t.Errorf("%s: heard %v, want %v", when, got, want)
		}
	}
	want("at first", true)
	s.take()
	s.put(s.to)
	want("not imported", false)
	s.take("s.>")
	s.put(s.to)
	want("imported again", true)
	exports := s.from.Claims.Exports
	s.from.Claims.Exports = nil
	s.put(s.from)
	want("not exported", false)
	s.from.Claims.Exports = exports
	s.put(s.from)
	want("exported again", true)
	s.c.send("UNSUB 1\r\nPING\r\n")
	s.c.expect("PONG")
	want("unsubscribed", false)
	p, err := s.registry.Get(t.Context(), s.from.Key)
	if err != nil {
		t.Fatal(err)
	}
	if n := p.Index.Count(); n != 0 {
		t.Errorf("%d subscriptions are left in the exporter's account", n)
	}
}

// A subscriber goes, and its shadows with it.
func TestShadowsEndWithTheirConnection(t *testing.T) {
	s := newSharers(t)
	s.c.send("SUB s.* 1\r\nSUB s.a g 2\r\nPING\r\n")
	s.c.expect("PONG")
	p, err := s.registry.Get(t.Context(), s.from.Key)
	if err != nil {
		t.Fatal(err)
	}
	if n := p.Index.Count(); n != 2 {
		t.Errorf("%d shadows, want 2", n)
	}
	_ = s.c.nc.Close()
	eventually(t, "the shadows are gone", func() bool { return p.Index.Count() == 0 })
}

// A change of claims that means the same loses no message of a busy stream.
func TestUnrelatedChangesLoseNoMessage(t *testing.T) {
	s := newSharers(t)
	s.c.send("SUB s.> 1\r\nPING\r\n")
	s.c.expect("PONG")
	const n = 300
	for i := range n {
		s.p.send(fmt.Sprintf("PUB s.a %d\r\n%s\r\n", len(fmt.Sprint(i)), fmt.Sprint(i)))
		if i%10 == 0 {
			a := []*operatortest.Account{s.from, s.to}[i/10%2]
			a.Claims.Tags = jwt.TagList{fmt.Sprint("t", i)}
			s.put(a)
		}
	}
	for i := range n {
		s.c.expect(fmt.Sprintf("MSG s.a 1 %d", len(fmt.Sprint(i))), fmt.Sprint(i))
	}
}

// A request goes to the exporter and its answer back once; who may not ask gets
// nobody.
func TestServicesFollowWhatIsShared(t *testing.T) {
	s := newSharers(t)
	s.p.send("SUB q 1\r\nPING\r\n")
	s.p.expect("PONG")
	ask := func() string {
		t.Helper()
		s.c.send("SUB in 9\r\nPUB q in 1\r\nx\r\nPING\r\n")
		s.c.expect("PONG")
		s.p.send("PING\r\n")
		line := s.p.line()
		if line == "PONG" {
			return ""
		}
		words := strings.Fields(line)
		if words[0] != "HMSG" || len(words) != 6 || !strings.HasPrefix(words[3], "_R_.") {
			t.Fatalf("got %q", line)
		}
		for s.p.line() != "" { // the headers
			continue
		}
		s.p.expect("x", "PONG")
		return words[3]
	}
	reply := ask()
	s.p.send("PUB " + reply + " 1\r\nr\r\nPUB " + reply + " 1\r\ns\r\nPING\r\n")
	s.p.expect("PONG")
	s.c.expect("MSG in 9 1", "r")
	s.take("s.>")
	s.put(s.to)
	if reply := ask(); reply != "" {
		t.Errorf("a service that is not imported was asked: %s", reply)
	}
	s.take("s.>", "q")
	s.put(s.to)
	if ask() == "" {
		t.Error("a service that is imported again was not asked")
	}
	s.from.Claims.Exports = s.from.Claims.Exports[:0]
	s.put(s.from)
	if ask() != "" {
		t.Error("a service that is not exported was asked")
	}
}

// What crosses is counted for who publishes and for who gets it, in the size that
// was published.
func TestWhatCrossesIsCounted(t *testing.T) {
	op := operatortest.New(t)
	s := &sharers{t: t, from: op.Account("p"), to: op.Account("c")}
	s.from.Claims.Exports.Add(&jwt.Export{Subject: "s.>", Type: jwt.Stream}, &jwt.Export{Subject: "q", Type: jwt.Service})
	s.take("s.>", "q")
	paid := &paying{Source: operatortest.NewSource(s.from, s.to), by: map[string]*usage{}}
	b, _ := enrolled(t, op, paid, nil)
	s.p, s.c = b.dial(), b.dial()
	s.p.login(s.from.User("u", nil))
	s.c.login(s.to.User("u", nil))
	s.c.send("SUB s.> 1\r\nSUB in 2\r\nPING\r\n")
	s.c.expect("PONG")
	s.p.send("SUB q 1\r\nPUB s.a 3\r\nabc\r\nPING\r\n")
	s.p.expect("PONG")
	s.c.expect("MSG s.a 1 3", "abc")
	s.c.send("PUB q in 5\r\nhello\r\nPING\r\n")
	s.c.expect("PONG")
	reply := strings.Fields(s.p.line())[3]
	for s.p.line() != "" {
		continue
	}
	s.p.expect("hello")
	s.p.send("PUB " + reply + " 2\r\nhi\r\nPING\r\n")
	s.p.expect("PONG")
	s.c.expect("MSG in 2 2", "hi")
	for _, c := range []struct {
		who                                 string
		key                                 string
		published, bytes, delivered, volume uint64
	}{{"exporter", s.from.Key, 2, 5, 1, 5}, {"importer", s.to.Key, 1, 5, 2, 5}} {
		u := paid.usage(c.key)
		eventually(t, "what was delivered is counted", func() bool { return u.delivered.Load() >= c.delivered })
		if u.published.Load() != c.published || u.publishedBytes.Load() != c.bytes || u.delivered.Load() != c.delivered || u.deliveredBytes.Load() != c.volume {
			t.Errorf("%s: published %d, %d bytes, delivered %d, %d bytes", c.who, u.published.Load(), u.publishedBytes.Load(), u.delivered.Load(), u.deliveredBytes.Load())
		}
	}
}

// paying is a source that keeps what its accounts are charged.
type paying struct {
	*operatortest.Source

	mu sync.Mutex
	by map[string]*usage // guarded by mu
}

func (p *paying) usage(key string) *usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by[key] == nil {
		p.by[key] = &usage{}
	}
	return p.by[key]
}
