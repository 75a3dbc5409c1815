// Package usagetest is a usage receiver with a real ledger, for tests of those
// who report to one. It can be stopped and started again on the same address,
// and can lose its answers after it has committed.
package usagetest

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coveymq/covey/billing"
	"github.com/coveymq/covey/billing/ledger"
	"github.com/coveymq/covey/controlplane/internal/usage"
)

// Server is a receiver on a loopback port. Start and Stop belong to one goroutine.
type Server struct {
	Ledger *ledger.Ledger // open for the whole test

	addr   string
	opts   []grpc.ServerOption
	lose   atomic.Int64 // every n-th answer is lost; 0: none
	calls  atomic.Int64
	server *grpc.Server // nil while stopped
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Start returns a running server that ends with the test.
func Start(tb testing.TB, opts ...grpc.ServerOption) *Server {
	tb.Helper()
	l, err := ledger.Open(context.Background(), filepath.Join(tb.TempDir(), "usage.db"))
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{Ledger: l, addr: "127.0.0.1:0", opts: opts}
	s.Start(tb)
	tb.Cleanup(func() {
		s.Stop()
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Addr is where it listens; it stays the same over Stop and Start.
func (s *Server) Addr() string { return s.addr }

// LoseEvery loses every n-th answer from now on; 0 loses none.
func (s *Server) LoseEvery(n int) { s.lose.Store(int64(n)) }

// Exports is how many exports came in.
func (s *Server) Exports() int64 { return s.calls.Load() }

// Start listens again after Stop.
func (s *Server) Start(tb testing.TB) {
	tb.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(context.Background(), "tcp", s.addr)
	if err != nil {
		tb.Fatal(err)
	}
	s.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	r := usage.New(s.Ledger, usage.Options{})
	opts := append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(usage.RequestBytesMax), grpc.UnaryInterceptor(s.intercept),
	}, s.opts...)
	s.server = grpc.NewServer(opts...)
	r.Register(s.server)
	server := s.server
	s.wg.Go(func() { _ = r.Run(ctx) })
	s.wg.Go(func() { _ = server.Serve(listener) })
}

// Stop cuts everything off, as a kill would.
func (s *Server) Stop() {
	if s.server == nil {
		return
	}
	s.server.Stop()
	s.cancel()
	s.wg.Wait()
	s.server = nil
}

func (s *Server) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	n := s.calls.Add(1)
	res, err := handle(ctx, req)
	if lose := s.lose.Load(); lose > 0 && n%lose == 0 {
		return nil, status.Error(codes.Unavailable, "the answer was lost")
	}
	return res, err
}

// Receipts is what a broker may ask of the ledger.
func (s *Server) Receipts(ctx context.Context, incarnation string, windows []int64) ([]billing.Receipt, error) {
	return s.Ledger.Receipts(ctx, incarnation, windows)
}

// Total is what an account used in all hours around now.
func (s *Server) Total(tb testing.TB, account string) billing.AccountUsage {
	tb.Helper()
	const days = 30 * 24 * time.Hour
	u, err := s.Ledger.Usage(context.Background(), []string{account}, time.Now().Add(-days), time.Now().Add(days))
	if err != nil {
		tb.Fatal(err)
	}
	u[0].Reported = time.Time{}
	return u[0]
}
