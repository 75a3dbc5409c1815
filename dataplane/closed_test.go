package dataplane_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// endings are ways in which connections end: what a client sends, and whether it
// closes by itself after that.
var endings = map[string]struct { //nolint:gochecknoglobals // a table
	send  string
	close bool
}{
	"leaves at once":          {"", true},
	"leaves after connect":    {"CONNECT {\"verbose\":false}\r\nPING\r\n", true},
	"leaves in a line":        {"CONNECT {\"verbose\":false}\r\nPUB foo 1", true},
	"leaves in a payload":     {"CONNECT {\"verbose\":false}\r\nPUB foo 10\r\nabc", true},
	"unknown verb":            {"CONNECT {\"verbose\":false}\r\nHELLO\r\n", false},
	"wrong user":              {"CONNECT {\"user\":\"x\",\"pass\":\"y\"}\r\n", false},
	"says nothing":            {"", false},
	"too large a payload":     {"CONNECT {\"verbose\":false}\r\nPUB foo 1001\r\n", false},
	"too long a line":         {"CONNECT {\"verbose\":false}\r\nPUB " + strings.Repeat("x", 2000) + " 1\r\n", false},
	"too long a first line":   {"CONNECT {\"name\":\"" + strings.Repeat("x", 2000) + "\"}\r\n", false},
	"bad words":               {"CONNECT {\"verbose\":false}\r\nSUB a b c d\r\n", false},
	"bad size":                {"CONNECT {\"verbose\":false}\r\nPUB a b c\r\n", false},
	"bad protocol level":      {"CONNECT {\"protocol\":9}\r\n", false},
	"bad json":                {"CONNECT {\r\n", false},
	"no responders, no hdrs":  {"CONNECT {\"no_responders\":true}\r\n", false},
	"account by name":         {"CONNECT {\"account\":\"A\"}\r\n", false},
	"error from the client":   {"CONNECT {\"verbose\":false}\r\n-ERR 'x'\r\n", false},
	"info that is none":       {"CONNECT {\"verbose\":false}\r\nINFO x\r\n", false},
	"headers not agreed on":   {"CONNECT {\"verbose\":false}\r\nHPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n", false},
	"headers beyond the body": {"CONNECT {\"verbose\":false,\"headers\":true}\r\nHPUB a 12 1\r\n", false},
	"payload not ended":       {"CONNECT {\"verbose\":false}\r\nPUB a 1\r\nxyz\r\n", false},
	"does not answer PING":    {"CONNECT {\"verbose\":false}\r\nSUB a 1\r\n", false},
}

// What monitoring says of connections that have ended is what nats-server says:
// the reason and what the connection was.
func TestClosedConnectionsAreNatsServers(t *testing.T) {
	stock, ours := rivals(t, `
max_payload: 1000
max_control_line: 1024
ping_interval: "1s"
ping_max: 1
authorization { users: [ {user: u, password: p} ], timeout: 1 }
no_auth_user: u
`)
	for name, c := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Who is slow may be closed for that: on a busy machine the reason can be
			// another one, of either server, but not again and again.
			var want, got string
			for range 3 {
				if want, got = stock.obituary(t, c.send, c.close), ours.obituary(t, c.send, c.close); got == want {
					return
				}
			}
			t.Errorf("%s, nats-server has %s", got, want)
		})
	}
}

// obituary ends a connection and returns what monitoring says of it.
func (r rival) obituary(t *testing.T, send string, leave bool) string {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", r.client)
	must(t, err)
	defer func() { _ = c.Close() }() // it may have been closed
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	b := bufio.NewReader(c)
	line, err := b.ReadString('\n')
	must(t, err)
	id := infoOf(t, line)["client_id"]
	_, err = io.WriteString(c, send)
	must(t, err)
	if leave {
		if strings.Contains(send, "PING") {
			_, err = b.ReadString('\n')
			must(t, err)
		}
		must(t, c.Close())
	} else {
		_, _ = io.Copy(io.Discard, b) // until the server closes
	}
	said := ""
	eventually(t, "the obituary", func() bool {
		all, _ := r.ask(t, fmt.Sprintf("/connz?state=closed&auth=1&cid=%v", id))["connections"].([]any)
		if len(all) == 0 {
			return false
		}
		e := all[0].(map[string]any)
		if e["reason"] == nil {
			t.Errorf("%s: no reason in %v", r.name, e)
		}
		said = fmt.Sprintf("reason %v, user %v, subscriptions %v, in %v messages, %v bytes", e["reason"], e["authorized_user"], e["subscriptions"], e["in_msgs"], e["in_bytes"])
		return true
	})
	return said
}
