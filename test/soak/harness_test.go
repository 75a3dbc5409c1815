package soak_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/internal/testleak"
	"github.com/coveymq/covey/test/conformance/proc"
)

func TestMain(m *testing.M) { testleak.Main(m) }

const patience = time.Minute

// broker is ours, as a process.
type broker struct {
	*proc.Server
	conf    string // the file
	monitor string // URL
	http    *http.Client
}

// run starts a broker, which is killed when the test ends.
func run(t *testing.T, conf string) *broker {
	t.Helper()
	if testing.Short() && os.Getenv(proc.BinEnv) == "" {
		t.Skip(proc.BinEnv + " is not set, and building takes long")
	}
	path, err := proc.Subject(t.Context(), t.TempDir())
	must(t, err)
	dir := t.TempDir()
	file := filepath.Join(dir, "soak.conf")
	must(t, os.WriteFile(file, []byte(conf), 0o600))
	s, err := proc.Start(context.WithoutCancel(t.Context()), proc.Options{
		Path: path, Dir: dir, Config: "include \"soak.conf\"\n", Args: []string{"-m", "-1"},
	})
	must(t, err)
	b := &broker{Server: s, conf: file, http: &http.Client{Timeout: patience, Transport: &http.Transport{}}}
	t.Cleanup(func() {
		b.http.CloseIdleConnections()
		s.Stop()
		if t.Failed() {
			t.Logf("log of the broker:\n%s", tail(s.Log(), 4000))
		}
	})
	eventually(t, "monitoring", func() bool {
		m := regexp.MustCompile(`Starting http monitor on (\S+)`).FindStringSubmatch(s.Log())
		if m != nil {
			b.monitor = "http://" + m[1]
		}
		return m != nil
	})
	return b
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

func (b *broker) get(t *testing.T, path string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, b.monitor+path, nil)
	must(t, err)
	res, err := b.http.Do(req)
	must(t, err)
	text, err := io.ReadAll(res.Body)
	must(t, errors.Join(err, res.Body.Close()))
	return text
}

// varz is what of /varz is looked at.
type varz struct {
	Connections   int    `json:"connections"`
	Total         int    `json:"total_connections"`
	Subscriptions int    `json:"subscriptions"`
	SlowConsumers int    `json:"slow_consumers"`
	InMsgs        uint64 `json:"in_msgs"`
	OutMsgs       uint64 `json:"out_msgs"`
}

func (b *broker) varz(t *testing.T) (v varz) {
	t.Helper()
	must(t, json.Unmarshal(b.get(t, "/varz"), &v))
	return v
}

// goroutines counts those of the broker.
func (b *broker) goroutines(t *testing.T) int {
	t.Helper()
	return strings.Count("\n"+string(b.get(t, "/stacksz")), "\ngoroutine ")
}

// rss is the broker's resident memory.
func (b *broker) rss(t *testing.T) int64 {
	t.Helper()
	m, err := b.Memory()
	must(t, err)
	return m.RSS
}

// heap is how much memory the broker held when it last collected garbage, and
// half as much again.
func (b *broker) heap(t *testing.T) int {
	t.Helper()
	var v struct {
		MemStats struct{ NextGC int } `json:"memstats"`
	}
	must(t, json.Unmarshal(b.get(t, "/debug/vars"), &v))
	return v.MemStats.NextGC
}

// dial opens a connection and reads INFO.
func (b *broker) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", b.Addr)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(patience)) // fails only if it is closed
	if _, err = c.Read(make([]byte, 4096)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// many runs work on n things at once, by as many workers, and returns the first
// error.
func many(n, workers int, work func(i int) error) error {
	var next atomic.Int64
	var mu sync.Mutex
	var first error
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := work(i); err != nil {
					mu.Lock()
					first = errors.Join(first, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return first
}

// tenant is an account that wants to be left alone: it sends itself numbered
// messages, which must come in order and all.
type tenant struct {
	stop  func() // waits until the last message has come
	mu    sync.Mutex
	times []time.Duration // guarded by mu
}

// live starts a tenant as a user. It ends with stop, which tests defer.
func (b *broker) live(t *testing.T, user string) *tenant {
	t.Helper()
	nc, err := nats.Connect("nats://"+b.Addr, nats.UserInfo(user, user), nats.NoReconnect(), nats.Timeout(patience))
	must(t, err)
	sub, err := nc.SubscribeSync("life." + user)
	must(t, err)
	must(t, nc.Flush())
	n := &tenant{}
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer nc.Close()
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			at := time.Now()
			if err := nc.Publish("life."+user, fmt.Appendf(nil, "%d", i)); err != nil {
				t.Errorf("%s cannot publish: %v", user, err)
				return
			}
			m, err := sub.NextMsg(patience)
			if err != nil || string(m.Data) != fmt.Sprint(i) {
				t.Errorf("%s waits for message %d, has %v, %v", user, i, m, err)
				return
			}
			n.note(time.Since(at))
			select {
			case <-over:
				return
			case <-tick.C:
			}
		}
	})
	n.stop = sync.OnceFunc(func() {
		close(over)
		wg.Wait()
		p50, p99 := n.percentiles()
		t.Logf("%s: %d messages, p50 %v, p99 %v", user, len(n.times), p50, p99)
	})
	return n
}

func (n *tenant) note(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.times = append(n.times, d)
}

func (n *tenant) percentiles() (p50, p99 time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.times) == 0 {
		return 0, 0
	}
	s := slices.Sorted(slices.Values(n.times))
	return s[len(s)/2], s[len(s)*99/100]
}
