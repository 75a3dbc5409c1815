package dataplane_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// peer is a server of a cluster that reads as it likes.
type peer struct {
	net.Conn
	in *bufio.Reader
}

// joinAs connects to a member as another server that wants everything on a
// subject.
func joinAs(t *testing.T, m member, subject string) *peer {
	t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(m.RouteURL(), "nats-route://"))
	must(t, err)
	t.Cleanup(func() { _ = nc.Close() }) // the member may have closed it
	must(t, nc.(*net.TCPConn).SetReadBuffer(128<<10))
	must(t, nc.SetDeadline(time.Now().Add(time.Minute)))
	_, err = fmt.Fprintf(nc, "CONNECT {\"echo\":true,\"headers\":true,\"name\":\"SLOWPEER\",\"cluster\":\"east\"}\r\n"+
		"INFO {\"server_id\":\"SLOWPEER\",\"server_name\":\"slow\",\"version\":\"2.15.2\",\"proto\":1,\"host\":\"127.0.0.1\",\"port\":1,\"headers\":true,"+
		"\"max_payload\":1048576,\"cluster\":\"east\"}\r\nRS+ $G %s\r\nPING\r\n", subject)
	must(t, err)
	p := &peer{nc, bufio.NewReaderSize(nc, 128<<10)}
	for {
		line, err := p.in.ReadString('\n')
		must(t, err)
		if strings.HasPrefix(line, "PONG") {
			return p
		}
	}
}

// flooded is how much the members publish: more than buffers on the way take.
const flooded = 24 << 20

func flood(t *testing.T, m member, subject string) {
	t.Helper()
	nc := dialURL(t, m)
	interested(t, nc, subject)
	for range flooded / (64 << 10) {
		must(t, nc.Publish(subject, make([]byte, 64<<10)))
	}
	must(t, nc.FlushTimeout(time.Minute))
}

// What a peer does not take in time ends the connection: with the policy `close`
// all of it, with `retry` if it takes nothing at all.
func TestPeersThatReadSlowlyAreTreatedAsByStock(t *testing.T) {
	for _, policy := range []string{"close", "retry", "default"} {
		conf := fmt.Sprintf("write_deadline: 4s, write_timeout: %s, pool_size: -1, ping_interval: 1h", policy)
		for name, start := range map[string]func(*testing.T) (m member, alone func() bool){
			"nats-server": func(t *testing.T) (member, func() bool) {
				s := stockFile(t, clustered(conf))
				return s, func() bool { return s.NumRoutes() == 0 }
			},
			"ours": func(t *testing.T) (member, func() bool) {
				b := coveyFile(t, clustered(conf))
				return b, func() bool { return b.Peers() == 0 }
			},
		} {
			t.Run(policy+"/"+name+", stopped", func(t *testing.T) {
				t.Parallel()
				m, alone := start(t)
				_ = joinAs(t, m, "flood")
				if alone() {
					t.Fatal("the peer is not there")
				}
				flood(t, m, "flood")
				eventually(t, "the peer is given up", alone)
			})
			t.Run(policy+"/"+name+", slow", func(t *testing.T) {
				t.Parallel()
				m, _ := start(t)
				p := joinAs(t, m, "flood")
				pace := 20 * time.Millisecond // never so slow that nothing goes out for that long
				if policy == "close" {
					pace = 100 * time.Millisecond // 20 seconds for all of it
				}
				// It reads from the beginning: publishing may take longer than the deadline.
				var got int64
				var all bool
				var reading sync.WaitGroup
				reading.Go(func() { got, all = p.trickle(pace) })
				defer reading.Wait()
				flood(t, m, "flood")
				reading.Wait()
				if all != (policy != "close") {
					t.Errorf("the peer got %d bytes of %d or more", got, flooded)
				}
			})
		}
	}
}

// trickle reads as much as there is, a little now and then, and reports whether
// it was all.
func (p *peer) trickle(pace time.Duration) (got int64, all bool) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for got < flooded {
		<-tick.C
		n, err := io.CopyN(io.Discard, p.in, 128<<10)
		if got += n; err != nil {
			return got, got >= flooded
		}
	}
	return got, true
}
