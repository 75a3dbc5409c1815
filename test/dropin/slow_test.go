package dropin_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// slowpoke is a subscriber that reads when it is told to.
type slowpoke struct {
	net.Conn
	r *bufio.Reader
}

func (s *served) slowpoke(subject string) *slowpoke {
	s.t.Helper()
	nc, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	must(s.t, err)
	s.t.Cleanup(func() { _ = nc.Close() })
	must(s.t, nc.(*net.TCPConn).SetReadBuffer(16<<10))
	p := &slowpoke{nc, bufio.NewReader(nc)}
	_, err = fmt.Fprintf(nc, "CONNECT {\"verbose\":false}\r\nSUB %s 1\r\nPING\r\n", subject)
	must(s.t, err)
	for line := ""; line != "PONG\r\n"; {
		line, err = p.r.ReadString('\n')
		must(s.t, err)
	}
	return p
}

// until reads messages until one has that body, and returns how many came before.
func (p *slowpoke) until(t *testing.T, body string) (n int) {
	t.Helper()
	must(t, p.SetReadDeadline(time.Now().Add(patience)))
	for {
		line, err := p.r.ReadString('\n')
		must(t, err)
		var subject string
		var sid, size int
		if _, err := fmt.Sscanf(line, "MSG %s %d %d", &subject, &sid, &size); err != nil {
			t.Fatalf("got %q", line)
		}
		message := make([]byte, size+2)
		_, err = io.ReadFull(p.r, message)
		must(t, err)
		if string(message[:size]) == body {
			return n
		}
		n++
	}
}

// Who publishes to a slow consumer need not wait for it if the configuration
// says so: the consumer loses what is published while it has nearly too much, and
// stays. A reload changes that.
func TestFastProducersNeedNotWait(t *testing.T) {
	const text = "max_payload: 64KB, max_pending: 1MB, write_deadline: 1m, no_fast_producer_stall: "
	both(t, func(t *testing.T) {
		s := serve(t, text+"true")
		slow, nc := s.slowpoke("a"), s.connect()
		traced, err := nc.SubscribeSync("traced")
		must(t, err)
		ask := &nats.Msg{Subject: "a", Header: nats.Header{"Nats-Trace-Dest": {"traced"}}, Data: []byte("x")}
		const lost = "Not delivered because fast producer not stalled and consumer is slow"
		sent := 0
		body := bytes.Repeat([]byte("x"), 64<<10)
		eventually(t, "messages are lost, and their traces say so", func() bool {
			for range 40 {
				must(t, nc.Publish("a", body))
			}
			must(t, nc.PublishMsg(ask))
			sent += 41
			return strings.Contains(string(next(t, traced).Data), lost)
		})
		must(t, nc.Publish("a", []byte("lost, too")))
		must(t, nc.Flush())
		waiting := make(chan int, 1)
		end := "read"
		last := func() bool {
			select {
			case n := <-waiting:
				if n >= sent {
					t.Errorf("%d of %d came", n, sent)
				}
				return true
			default:
				must(t, nc.Publish("a", []byte(end)))
				must(t, nc.Flush())
				return false
			}
		}
		var reading sync.WaitGroup
		reading.Go(func() { waiting <- slow.until(t, end) })
		t.Cleanup(reading.Wait)
		eventually(t, "it goes on when it has read what waited", last)

		must(t, os.WriteFile(s.args[5], []byte(text+"false"), 0o600))
		s.signal(t, syscall.SIGHUP)
		s.says(t, "Reloaded server configuration")
		s.slowpoke("b")
		eventually(t, "it is closed", func() bool {
			for range 40 {
				must(t, nc.Publish("b", body))
			}
			must(t, nc.Flush())
			return strings.Contains(s.out.String(), "Slow Consumer")
		})
	})
}
