package conn_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/conn"
)

// moving admits everybody: whoever comes is in the first account, whoever says
// CONNECT in the second, as when the configuration changes in between.
type moving struct {
	accounts [2]*account.Account
	asked    atomic.Int32
}

func (*moving) Required() bool          { return false }
func (*moving) Greeting() auth.Greeting { return auth.Greeting{} }

func (m *moving) Authenticate(context.Context, *auth.Connect, string, netip.Addr) (*account.Identity, error) {
	n := m.asked.Add(1)
	if int(n) > len(m.accounts) {
		return nil, account.Violation("enough")
	}
	return &account.Identity{Account: m.accounts[n-1], Limits: auth.Unlimited()}, nil
}

// served is a host with one client.
func served(t *testing.T, m *moving) (*conn.Host, net.Conn, *bufio.Reader) {
	t.Helper()
	for i := range m.accounts {
		m.accounts[i] = account.New(fmt.Sprint("A", i), account.NoUsage{}, &account.State{Limits: auth.Unlimited()})
	}
	h := &conn.Host{Auth: m, Info: conn.Info{Headers: true}, Log: slog.New(slog.DiscardHandler)}
	h.SetOptions(conn.DefaultOptions())
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var d net.Dialer
	client, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	h.Go(server)
	t.Cleanup(func() {
		_ = client.Close()
		h.Close(context.Background(), 0)
	})
	_ = client.SetDeadline(time.Now().Add(time.Minute))
	return h, client, bufio.NewReader(client)
}

// until reads lines up to the one with a prefix and returns all of them.
func until(t *testing.T, r *bufio.Reader, prefix string) []string {
	t.Helper()
	var all []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("no %s: %v after %q", prefix, err, all)
		}
		all = append(all, line)
		if strings.HasPrefix(line, prefix) {
			return all
		}
	}
}

func TestSubscriptionsDoNotMoveToAnotherAccount(t *testing.T) {
	m := &moving{}
	_, client, r := served(t, m)
	_, _ = fmt.Fprint(client, "SUB x 1\r\nPING\r\n")
	until(t, r, "PONG")
	_, _ = fmt.Fprint(client, `CONNECT {"verbose":false}`+"\r\nPUB x 0\r\n\r\nPING\r\n")
	if said := until(t, r, "PONG"); len(said) != 1 {
		t.Errorf("after moving: %q", said)
	}
	for i, a := range m.accounts {
		if n := a.Index.Count(); n != 0 {
			t.Errorf("account %d has %d subscriptions", i, n)
		}
	}
}

func TestAClientThatIsNotAdmittedAgainLeavesNothingBehind(t *testing.T) {
	m := &moving{}
	h, client, r := served(t, m)
	_, _ = fmt.Fprint(client, "SUB x 1\r\nPING\r\n")
	until(t, r, "PONG")
	m.asked.Store(2) // the next is one too many
	_, _ = fmt.Fprint(client, `CONNECT {"verbose":false}`+"\r\nPING\r\n")
	until(t, r, "-ERR 'Authorization Violation'")
	_ = client.Close()
	h.Close(context.Background(), 0)
	if n := m.accounts[0].Index.Count(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}
