package conn_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/conn"
)

// TestTheSameLineAgain lets what a PUB finds change between two that are alike,
// and are read together: by the publisher's own subscriptions.
func TestTheSameLineAgain(t *testing.T) {
	b := open(t, nil)
	p := b.dial()
	p.connect("")
	const pub = "PUB a.b 2\r\nhi\r\n"
	p.send(pub + "SUB a.b 1\r\n" + pub + pub + "SUB a.* 2\r\n" + pub + pub + "UNSUB 1\r\n" + pub + pub + "UNSUB 2\r\n" + pub + "PING\r\n")
	var got strings.Builder
	for line := p.line(); line != "PONG"; line = p.line() {
		var sid int
		if n, _ := fmt.Sscanf(line, "MSG a.b %d 2", &sid); n == 1 {
			fmt.Fprint(&got, sid)
			p.expect("hi")
		}
	}
	if want := "11" + "1212" + "22"; got.String() != want {
		t.Errorf("got for subscriptions %s, want %s", &got, want)
	}
}

// subscriber subscribes when it is asked about a subject for the first time, and
// offers nothing.
type subscriber struct {
	once      sync.Once
	subscribe func()
}

func (s *subscriber) Offers(*conn.Client, []byte) bool { s.once.Do(s.subscribe); return false }

func (*subscriber) Serve(*conn.Message) {}

// TestTheSameLineAgainIsHeardAnew lets somebody subscribe between two messages that
// are alike and are read together.
func TestTheSameLineAgainIsHeardAnew(t *testing.T) {
	late := &subscriber{}
	b := open(t, func(h *conn.Host) { h.Services = late })
	got := make(chan *conn.Message, 8)
	in := b.inbox(8)
	late.subscribe = func() {
		if _, err := in.Subscribe(b.account(), "$SYS.REQ.late", "", func(m *conn.Message) { got <- m }); err != nil {
			t.Error(err)
		}
	}
	c := b.dial()
	c.connect("")
	c.send(strings.Repeat("PUB $SYS.REQ.late 2\r\nhi\r\n", 3) + "PING\r\n")
	c.expect("PONG")
	eventually(t, "the second and the third come", func() bool { return len(got) == 2 })
}
