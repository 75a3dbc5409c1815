package conn_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/conn"
)

// inbox returns an inbox that is served until the test ends.
func (b *broker) inbox(size int) *conn.Inbox {
	in := b.NewInbox(size)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = in.Run(ctx) })
	b.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return in
}

func (b *broker) account() *account.Account {
	open, ok := b.Auth.(*auth.Open)
	if !ok {
		b.t.Fatal("the broker has more than one account")
	}
	return open.Account
}

// The broker's own subscriptions get copies of what clients publish, whole, with
// who sent it, and no client is told that nobody is there.
func TestInboxGetsWhatClientsPublish(t *testing.T) {
	b := open(t, nil)
	got := make(chan *conn.Message, 8)
	s, err := b.inbox(8).Subscribe(b.account(), "ask.*", "", func(m *conn.Message) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	c := b.dial()
	c.connect(`,"headers":true,"no_responders":true`)
	c.send("SUB back 1\r\nPUB ask.a back 5\r\nhello\r\nHPUB ask.b 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPUB other back 0\r\n\r\nPING\r\n")
	c.expect("HMSG back 1 37 37", "NATS/1.0 503", "Nats-Subject: other", "", "", "PONG")
	for _, want := range []string{`ask.a back "" "hello"`, `ask.b  "NATS/1.0\r\n\r\n" "hi"`} {
		m := <-got
		if text := fmt.Sprintf("%s %s %q %q", m.Subject, m.Reply, m.Header, m.Body); text != want {
			t.Errorf("got %s, want %s", text, want)
		}
		if m.Account != b.account() || m.From == nil || m.From.Identity().Account != m.Account {
			t.Errorf("%s is from %v in %v", m.Subject, m.From, m.Account)
		}
	}
	s.Close()
	c.send("PUB ask.a back 0\r\n\r\nPING\r\n")
	c.expect("HMSG back 1 37 37", "NATS/1.0 503", "Nats-Subject: ask.a", "", "", "PONG")
	if len(got) > 0 {
		t.Error("a subscription that is closed got a message")
	}
}

// What the broker publishes goes to clients and not to its own subscriptions.
func TestPublishFromInside(t *testing.T) {
	b := open(t, nil)
	in := b.inbox(8)
	if _, err := in.Subscribe(b.account(), ">", "", func(m *conn.Message) { t.Errorf("got %s", m.Subject) }); err != nil {
		t.Fatal(err)
	}
	if b.Publish(b.account(), "news", "", nil, []byte("x")) || b.Wanted(b.account(), "news") {
		t.Error("somebody wants what nobody has subscribed to")
	}
	c := b.dial()
	c.connect(`,"headers":true`)
	c.send("SUB news 1\r\nSUB *.q workers 2\r\nPING\r\n")
	c.expect("PONG")
	for _, subject := range []string{"news", "a.q"} {
		if !b.Wanted(b.account(), subject) {
			t.Errorf("nobody wants %s", subject)
		}
	}
	header := []byte("NATS/1.0\r\nA: b\r\n\r\n")
	if !b.Publish(b.account(), "news", "back", header, []byte("x")) || !b.Publish(b.account(), "a.q", "", nil, nil) {
		t.Error("nobody got it")
	}
	c.expect("HMSG news 1 back 18 19", "NATS/1.0", "A: b", "", "x", "MSG a.q 2 0", "")
}

// A queue that is full drops, counts, and holds nobody up.
func TestInboxIsBounded(t *testing.T) {
	b := open(t, nil)
	in := b.inbox(2)
	entered, leave := make(chan struct{}, 16), make(chan struct{})
	if _, err := in.Subscribe(b.account(), "ask", "", func(*conn.Message) {
		entered <- struct{}{}
		<-leave
	}); err != nil {
		t.Fatal(err)
	}
	c := b.dial()
	c.connect("")
	c.send("PUB ask 0\r\n\r\nPING\r\n")
	c.expect("PONG")
	<-entered
	c.send(strings.Repeat("PUB ask 0\r\n\r\n", 5) + "PING\r\n")
	c.expect("PONG")
	if n := in.Dropped(); n != 3 {
		t.Errorf("%d were dropped, want 3", n)
	}
	close(leave)
	<-entered
	<-entered
}

// told counts what other brokers would hear.
type told map[string]int

// Interest keeps what the index says.
func (o told) Interest(subject, _ string, members int) { o[subject] = members }

func TestInterestThatOthersDoNotHearOf(t *testing.T) {
	b := open(t, nil)
	heard := told{}
	b.account().Index.Watch(heard, func(func(func(string, string, int))) {})
	in := b.inbox(1)
	nothing := func(*conn.Message) {}
	if _, err := in.Subscribe(b.account(), "far", "", nothing); err != nil {
		t.Fatal(err)
	}
	if _, err := in.SubscribeHere(b.account(), "near", nothing); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Subscribe(b.account(), "a..b", "", nothing); err == nil {
		t.Error("an invalid subject is taken")
	}
	if fmt.Sprint(heard) != "map[far:1]" {
		t.Errorf("others heard %v", heard)
	}
}
