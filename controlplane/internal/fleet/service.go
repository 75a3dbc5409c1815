package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/coveymq/covey/internal/lifecycle"
	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

const (
	leaseTTLDefault     = 10 * time.Second
	offlineGraceDefault = 24 * time.Hour
	// messageSizeMax holds a Hello with a hundred thousand accounts.
	messageSizeMax = 16 << 20
)

// Config is what a Service needs.
type Config struct {
	// Etcd sees the whole key space; the Service does not close it.
	Etcd    *clientv3.Client
	Custody Custody
	// Receipts answers GetUsageReceipt; nil makes that call unavailable.
	Receipts ReceiptReader
	// Refused is told what clients of brokers were refused; nil for nobody.
	Refused func(*fleetv1.Refusals)
	// Seen is told with which credentials clients of brokers are connected; nil for
	// nobody.
	Seen func(*fleetv1.Sightings)
	// Hosts are names and addresses put into listener certificates besides
	// ServerName, localhost and the loopback addresses.
	Hosts []string
	// LeaseTTL is how long a silent broker counts as there; 0 means 10 s.
	LeaseTTL time.Duration
	// OfflineGrace is how long a broker may serve without us; 0 means 24 h.
	OfflineGrace time.Duration
	Logger       *slog.Logger
}

// Service is the fleet service. Its methods may be called from any goroutine.
type Service struct {
	fleetv1.UnimplementedFleetServiceServer

	// Immutable after New.
	etcd         *clientv3.Client
	receipts     ReceiptReader
	refused      func(*fleetv1.Refusals)
	seen         func(*fleetv1.Sightings)
	leaseTTL     time.Duration
	offlineGrace time.Duration
	log          *slog.Logger
	custody      Custody
	certificates *listenerCertificates
	feed         *feed
	acks         *acks
	lookups      singleflight.Group
	stopping     chan struct{} // closed when Run ends

	receivers sync.WaitGroup // one per session

	mu       sync.Mutex
	stopped  bool                // no new sessions
	sessions map[string]*session // by broker, the newest each

	authorities atomic.Pointer[authorities]
}

// New opens the fleet's CA, making it at the first start.
func New(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.Etcd == nil || cfg.Custody == nil || cfg.Logger == nil {
		return nil, errors.New("fleet service needs etcd, custody and a logger")
	}
	if cfg.LeaseTTL == 0 {
		cfg.LeaseTTL = leaseTTLDefault
	}
	if cfg.OfflineGrace == 0 {
		cfg.OfflineGrace = offlineGraceDefault
	}
	ca, err := openAuthorities(ctx, cfg.Etcd, cfg.Custody)
	if err != nil {
		return nil, err
	}
	s := &Service{
		etcd: cfg.Etcd, receipts: cfg.Receipts, refused: cfg.Refused, seen: cfg.Seen, custody: cfg.Custody,
		leaseTTL: cfg.LeaseTTL, offlineGrace: cfg.OfflineGrace,
		log:          cfg.Logger,
		certificates: &listenerCertificates{hosts: cfg.Hosts, current: make(map[string]*tls.Certificate)},
		feed:         newFeed(cfg.Etcd, cfg.Logger),
		acks:         newAcks(cfg.Etcd, cfg.Logger),
		stopping:     make(chan struct{}),
		sessions:     make(map[string]*session),
	}
	s.feed.leased = s.leased
	s.authorities.Store(ca)
	s.feed.authority = s.adoptAuthorities
	if _, err := s.certificates.get(ctx, ca.active(), time.Now()); err != nil {
		return nil, err
	}
	return s, nil
}

// Register adds the service to a gRPC server made with ServerOptions.
func (s *Service) Register(r grpc.ServiceRegistrar) { fleetv1.RegisterFleetServiceServer(r, s) }

// ServerOptions are what the fleet's gRPC server is made with: TLS, the check
// of who calls, and keepalive that finds dead connections within the lease.
func (s *Service) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(credentials.NewTLS(s.TLSConfig(tls.VerifyClientCertIfGiven))),
		grpc.ChainUnaryInterceptor(s.identifyUnary),
		grpc.ChainStreamInterceptor(s.identifyStream),
		grpc.MaxRecvMsgSize(messageSizeMax),
		grpc.WaitForHandlers(true), // who stops the server closes what sessions use, and their log
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: s.leaseTTL, Timeout: s.leaseTTL / 2}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	}
}

// Run follows changes and serves sessions until ctx ends. When it returns all
// sessions have been told to end; stop the gRPC server after it.
func (s *Service) Run(ctx context.Context) error {
	g := lifecycle.NewGroup(ctx)
	g.Go(s.feed.run)
	g.Go(s.acks.run)
	g.Go(s.collectGarbage)
	err := g.Wait()
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.stopping)
	}
	s.mu.Unlock()
	s.receivers.Wait()
	return err
}
