package conn

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
)

// A reader that idles gives its goroutine up for a new one, again and again,
// and hears what comes between and after.
func TestIdleReaderIsReplacedAndHearsOn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	none := account.Limits{Connections: account.NoLimit, Leafs: account.NoLimit, Subscriptions: account.NoLimit, Payload: account.NoLimit}
	acct := account.New("$G", account.NoUsage{}, &account.State{Limits: none})
	h := &Host{Auth: &auth.Open{Account: acct}, Log: slog.New(slog.DiscardHandler)}
	h.SetOptions(DefaultOptions())
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	h.Go(server)
	if err := client.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(client)
	say := func(text, want string) {
		t.Helper()
		if _, err := client.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("waiting for %q: %v", want, err)
			}
			if line == want+"\r\n" {
				return
			}
		}
	}
	say("CONNECT {\"verbose\":false}\r\nSUB a 1\r\nPING\r\n", "PONG")
	c := h.Clients()[0]
	for range 5 {
		say("PUB a 2\r\nhi\r\nPUB a 2\r\nho\r\n", "ho")
		h.wheel.now.Add(int64(2 * idleAfter / wheelTick))
		c.check()
		for deadline := time.Now().Add(time.Minute); c.worked.Load(); {
			if time.Now().After(deadline) {
				t.Fatal("the goroutine was not replaced")
			}
			<-time.After(time.Millisecond)
		}
	}
	say("PING\r\n", "PONG")
	h.Close(context.Background(), 0)
	if r := c.refusal.Load(); r != serverShutdown {
		t.Errorf("the connection ended with %v", r)
	}
}
