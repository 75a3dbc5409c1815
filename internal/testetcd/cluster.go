package testetcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/coveymq/covey/internal/lifecycle"
	"github.com/coveymq/covey/internal/testport"
)

const (
	startWithin = time.Minute
	rpcMax      = 64 << 20
)

// Options say what a cluster is like.
type Options struct {
	TLS        *TLSFiles // of clients and peers; nil is none
	QuotaBytes int64     // 0 is etcd's default
	Fsync      bool      // as in life: a crash of the machine loses nothing
	// User is who may use the keys of Covey, with the password, which is root's,
	// too; "" leaves authentication off.
	User, Password string
}

// Cluster is a real etcd cluster: each member is a process of its own, which is
// this test program started again. The package's TestMain must call Main.
type Cluster struct {
	Members   []*Member
	options   Options
	protected bool // authentication is on; set before NewCluster returns
}

// Member is one member of a cluster.
type Member struct {
	spec  memberSpec
	cmd   *exec.Cmd
	stdin io.Closer // closed when the test program ends, however it ends
	ended sync.WaitGroup
}

// NewCluster starts a cluster that ends with the test.
func NewCluster(tb testing.TB, size int, o Options) *Cluster {
	tb.Helper()
	c := &Cluster{options: o}
	scheme := "http"
	if o.TLS != nil {
		scheme = "https"
	}
	initial := ""
	dir := tb.TempDir()
	addrs := freeAddrs(tb, 2*size)
	for i := range size {
		m := &Member{spec: memberSpec{
			Name: fmt.Sprintf("m%d", i), Dir: filepath.Join(dir, fmt.Sprint(i)), QuotaBytes: o.QuotaBytes, TLS: o.TLS, Fsync: o.Fsync,
			Client: scheme + "://" + addrs[2*i], Peer: scheme + "://" + addrs[2*i+1],
		}}
		if initial != "" {
			initial += ","
		}
		initial += m.spec.Name + "=" + m.spec.Peer
		c.Members = append(c.Members, m)
	}
	tb.Cleanup(func() {
		for _, m := range c.Members {
			m.Kill(tb)
		}
	})
	for _, m := range c.Members {
		m.spec.Initial = initial
		m.Start(tb)
	}
	c.Await(tb)
	if o.User != "" {
		c.protect(tb)
	}
	return c
}

// freeAddrs returns loopback addresses that nobody else takes.
func freeAddrs(tb testing.TB, n int) []string {
	tb.Helper()
	addrs := make([]string, n)
	for i := range addrs {
		var err error
		if addrs[i], err = testport.Addr(); err != nil {
			tb.Fatal(err)
		}
	}
	return addrs
}

// Endpoints returns the clients' URLs of all members.
func (c *Cluster) Endpoints() []string {
	var urls []string
	for _, m := range c.Members {
		urls = append(urls, m.spec.Client)
	}
	return urls
}

// Client returns a plain client of the cluster that ends with the test. It may do
// everything.
func (c *Cluster) Client(tb testing.TB) *clientv3.Client {
	tb.Helper()
	cfg := clientv3.Config{Endpoints: c.Endpoints(), DialTimeout: 5 * time.Second, Logger: zap.NewNop(), MaxCallSendMsgSize: rpcMax}
	if c.options.TLS != nil {
		cfg.TLS = c.options.TLS.client(tb)
	}
	if c.protected {
		cfg.Username, cfg.Password = root, c.options.Password
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

// Await returns when the cluster takes writes.
func (c *Cluster) Await(tb testing.TB) {
	tb.Helper()
	client := c.Client(tb)
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	backoff := lifecycle.Backoff{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond}
	for {
		try, done := context.WithTimeout(ctx, time.Second)
		_, err := client.Put(try, "/testetcd/ready", "", clientv3.WithPrevKV())
		done()
		if err == nil {
			return
		}
		if backoff.Wait(ctx) != nil {
			tb.Fatalf("the cluster does not become ready: %v", err)
		}
	}
}

// Start starts the member, or starts it again after Kill.
func (m *Member) Start(tb testing.TB) {
	tb.Helper()
	spec, err := json.Marshal(m.spec)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(os.Args[0]) //nolint:noctx,gosec // Kill ends it; it is this program
	cmd.Env = append(os.Environ(), memberEnv+"="+string(spec))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		tb.Fatalf("start etcd member: %v", err)
	}
	m.cmd, m.stdin = cmd, stdin
	m.ended.Go(func() { _ = cmd.Wait() }) // it is killed
}

// Kill ends the member as a crash does. Its data stays.
func (m *Member) Kill(tb testing.TB) {
	tb.Helper()
	if m.cmd == nil {
		return
	}
	m.signal(tb, syscall.SIGKILL)
	m.ended.Wait()
	_ = m.stdin.Close() // the other end is gone
	m.cmd = nil
}

// Pause stops the member where it is: it answers nobody, and its connections
// stay open.
func (m *Member) Pause(tb testing.TB) { tb.Helper(); m.signal(tb, syscall.SIGSTOP) }

// Resume lets a paused member go on.
func (m *Member) Resume(tb testing.TB) { tb.Helper(); m.signal(tb, syscall.SIGCONT) }

func (m *Member) signal(tb testing.TB, s os.Signal) {
	tb.Helper()
	if m.cmd == nil {
		return
	}
	if err := m.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Errorf("signal etcd member: %v", err)
	}
}

// Endpoint returns the member's URL for clients.
func (m *Member) Endpoint() string { return m.spec.Client }
