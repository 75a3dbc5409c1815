// Package api serves covey.api.v1 over gRPC, and the same over REST through
// grpc-gateway. It checks who calls and whether they may, validates requests,
// turns messages into calls of the tenancy rules inside a store transaction,
// and turns errors into statuses. It holds no state of its own.
package api

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"buf.build/go/protovalidate"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/federation"
	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const (
	messageBytesMax   = 1 << 20          // of one request; the largest is a permission list
	streamsMax        = 1000             // calls at the same time on one connection
	deadlineDefault   = 30 * time.Second // of a call that brings none
	deadlineMax       = 90 * time.Second // of any call; WaitOperation takes 60 s
	connectionIdleMax = 15 * time.Minute
)

// AccountUsage is what one account used in a time.
type AccountUsage struct {
	PublicKey         string
	PublishedMessages int64
	PublishedBytes    int64
	DeliveredMessages int64
	DeliveredBytes    int64
	ReportedTime      time.Time // when a broker last reported; zero if never
}

// UsageReader reads the usage ledger.
type UsageReader interface {
	// QueryUsage sums the meters of accounts, given by public key, over the UTC
	// hours from the one that holds from to the one that holds to. Accounts
	// without usage may be left out.
	QueryUsage(ctx context.Context, accounts []string, from, to time.Time) ([]AccountUsage, error)
}

// Config is what the API needs.
type Config struct {
	Store   *store.Store
	Tenancy *tenancy.Service
	Fleet   operation.Fleet
	Usage   UsageReader
	Watcher clientv3.Watcher // of the store's etcd
	Staff   Maintainer       // nil: no MaintenanceService
	Audit   AuditReader
	Counter Counter

	Receivers Receivers

	Authority Authority // nil: no FleetAuthorityService

	Federation *federation.Verifier
	Logger     *slog.Logger
}

// Server serves the API. It may be used from many goroutines.
type Server struct {
	store    *store.Store
	tenancy  *tenancy.Service
	fleet    operation.Fleet
	usage    UsageReader
	validate protovalidate.Validator
	log      *slog.Logger
	health   *health.Server
	uses     *authn.Uses
	watcher  clientv3.Watcher

	federation *federation.Verifier

	draining  context.Context //nolint:containedctx // ends when the server drains; watches end with it
	drain     context.CancelFunc
	maintain  Maintainer
	authority Authority
	audit     AuditReader
	counter   Counter
	receivers Receivers
}

// New returns a server of the API.
func New(cfg Config) (*Server, error) {
	validate, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("make request validator: %w", err)
	}
	draining, drain := context.WithCancel(context.Background())
	return &Server{
		federation: cfg.Federation, watcher: cfg.Watcher, draining: draining, drain: drain,
		store: cfg.Store, tenancy: cfg.Tenancy, fleet: cfg.Fleet, usage: cfg.Usage,
		validate: validate, log: cfg.Logger.With("component", "api"), health: health.NewServer(),
		uses: authn.NewUses(cfg.Store.NoteUse, cfg.Logger), maintain: cfg.Staff, audit: cfg.Audit, counter: cfg.Counter, receivers: cfg.Receivers, authority: cfg.Authority,
	}, nil
}

// GRPC returns a new gRPC server with all services, interceptors and limits.
func (s *Server) GRPC(options ...grpc.ServerOption) *grpc.Server {
	options = append(options,
		grpc.ChainUnaryInterceptor(s.describe, s.guard, s.admit),
		grpc.ChainStreamInterceptor(s.describeStream, s.admitStream),
		grpc.MaxRecvMsgSize(messageBytesMax),
		grpc.MaxConcurrentStreams(streamsMax),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: connectionIdleMax}),
	)
	g := grpc.NewServer(options...)
	apiv1.RegisterOrganizationServiceServer(g, &organizations{Server: s})
	apiv1.RegisterAccountServiceServer(g, &accountService{Server: s})
	apiv1.RegisterUserServiceServer(g, &users{Server: s})
	apiv1.RegisterCredentialServiceServer(g, &credentials{Server: s})
	apiv1.RegisterOperationServiceServer(g, &operations{Server: s})
	apiv1.RegisterRoleServiceServer(g, &roles{Server: s})
	apiv1.RegisterUsageServiceServer(g, &usageService{Server: s})
	apiv1.RegisterServiceAccountServiceServer(g, &serviceAccounts{Server: s})
	apiv1.RegisterAPIKeyServiceServer(g, &apiKeys{Server: s})
	apiv1.RegisterMemberServiceServer(g, &members{Server: s})
	apiv1.RegisterInvitationServiceServer(g, &invitations{Server: s})
	apiv1.RegisterAccessServiceServer(g, &access{Server: s})
	apiv1.RegisterExportServiceServer(g, &exports{Server: s})
	apiv1.RegisterImportServiceServer(g, &imports{Server: s})
	apiv1.RegisterShareServiceServer(g, &shares{Server: s})
	apiv1.RegisterFederationServiceServer(g, &federations{Server: s})
	apiv1.RegisterWatchServiceServer(g, &watches{Server: s})
	apiv1.RegisterAlertServiceServer(g, &alertService{Server: s})
	apiv1.RegisterPlanServiceServer(g, &plans{Server: s})
	adminv1.RegisterPlanServiceServer(g, &staffPlans{Server: s})
	adminv1.RegisterOrganizationServiceServer(g, &staffOrganizations{Server: s})
	apiv1.RegisterAuditServiceServer(g, &audits{Server: s})
	adminv1.RegisterBrokerServiceServer(g, &brokerService{Server: s})
	adminv1.RegisterOperatorServiceServer(g, &operatorService{Server: s})
	if s.authority != nil {
		adminv1.RegisterFleetAuthorityServiceServer(g, &fleetAuthorityService{Server: s})
	}
	adminv1.RegisterStockClusterServiceServer(g, &stockClusters{Server: s})
	if s.maintain != nil {
		adminv1.RegisterMaintenanceServiceServer(g, &maintenance{does: s.maintain})
	}
	healthpb.RegisterHealthServer(g, s.health)
	reflection.Register(g)
	return g
}

// NoteUses writes down when API keys are used, until ctx ends.
func (s *Server) NoteUses(ctx context.Context) error { return s.uses.Run(ctx) }

// Drain tells health checks and watches that this server is going away.
func (s *Server) Drain() {
	s.health.Shutdown()
	s.drain()
}
