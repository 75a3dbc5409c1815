package dataplane_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Whatever a client of an importer writes into its headers, the service learns who it
// is, and the exporter's account hears nothing else from it: at the same broker, at
// another one of ours, and at a nats-server.
func TestImporterCannotPassForSomebodyElse(t *testing.T) {
	behind := "}\n" + strings.TrimSuffix(strings.TrimSpace(sharing), "}")
	a := coveyFile(t, clustered(behind))
	b := coveyFile(t, clustered(behind, a))
	s := stockFile(t, clustered(behind, a))
	meshedAs(t, nats.UserInfo("p", "p"), a, b, s)
	for name, at := range map[string]member{"here": a, "there": b, "nats-server": s} {
		t.Run(name, func(t *testing.T) {
			p := dialAs(t, at, "p")
			trap, err := p.SubscribeSync("trap")
			must(t, err)
			asked, err := p.SubscribeSync("ask.*")
			must(t, err)
			must(t, p.Flush())
			eventually(t, "the service is known", func() bool {
				c := dialAs(t, a, "c")
				defer c.Close()
				must(t, c.PublishRequest("p.ready", "nowhere", nil))
				_, err := asked.NextMsg(50 * time.Millisecond)
				return err == nil
			})
			c := rawClient(t, a, "c")
			for _, header := range []string{
				"NATS/1.0\r\nA: b\nNats-Request-Info: {\"acc\":\"P\"}\r\n\r\n",
				"NATS/1.0\r\n\r\nA: b\r\n\r\n",
				"NATS/1.0\r\nnot a field\r\n\r\n",
				"NATS/1.0\r\nnats-request-info: {\"acc\":\"P\"}\r\n\r\n",
				"Nats-Request-Info: {\"acc\":\"P\"}\r\nNATS/1.0\r\nNats-Trace-Dest: trap\r\n\r\n",
				"NATS/1.0\r\nA: b\nNats-Trace-Dest: trap\r\n\r\n",
				"NATS/1.0\r\nnot a field\r\nNats-Trace-Dest: trap\r\n\r\n",
			} {
				_, err := fmt.Fprintf(c, "HPUB p.x nowhere %d %d\r\n%s\r\n", len(header), len(header), header)
				must(t, err)
				m, err := asked.NextMsg(time.Minute)
				must(t, err)
				if got := m.Header.Values("Nats-Request-Info"); len(got) != 1 || !strings.Contains(got[0], `"acc":"C"`) || len(m.Header["nats-request-info"]) > 0 {
					t.Errorf("with %q the service is told %v", header, m.Header)
				}
			}
			if m, err := trap.NextMsg(100 * time.Millisecond); err == nil {
				t.Errorf("an importer has made somebody publish in the exporter's account: %s", m.Data)
			}
		})
	}
}

// rawClient is a connection that has said who it is, on which anything can be written.
func rawClient(t *testing.T, m member, user string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(m.ClientURL(), "nats://")) //nolint:noctx // a test
	must(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	_, err = fmt.Fprintf(nc, "CONNECT {\"verbose\":false,\"headers\":true,\"user\":%q,\"pass\":\"p\"}\r\nPING\r\n", user)
	must(t, err)
	must(t, nc.SetReadDeadline(time.Now().Add(time.Minute)))
	for r := bufio.NewReader(nc); ; {
		line, err := r.ReadString('\n')
		must(t, err)
		if strings.HasPrefix(line, "PONG") {
			return nc
		}
	}
}
