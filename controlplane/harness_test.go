package controlplane_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/grpcerr"
	"github.com/coveymq/covey/internal/testetcd"
	"github.com/coveymq/covey/internal/testleak"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func TestMain(m *testing.M) {
	stockMain()
	testetcd.Main()
	testleak.Main(m)
}

// logBuffer collects what the control plane logs.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// plane is a running control plane.
type plane struct {
	*controlplane.Server
	log  *logBuffer
	key  string // the operator's
	stop func()
}

func config(dir string, log *logBuffer) controlplane.Config {
	const anyPort = "127.0.0.1:0"
	return controlplane.Config{
		DataDir: dir, APIAddr: anyPort, HTTPAddr: anyPort, FleetAddr: anyPort, OTLPAddr: anyPort,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
}

func start(tb testing.TB, dir string, options ...func(*controlplane.Config)) *plane {
	tb.Helper()
	p := &plane{log: &logBuffer{}}
	cfg := config(dir, p.log)
	for _, o := range options {
		o(&cfg)
	}
	server, err := controlplane.New(tb.Context(), cfg)
	if err != nil {
		tb.Fatalf("start control plane: %v", err)
	}
	p.Server, p.key = server, server.BootstrapKey()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Run(ctx); err != nil {
			tb.Errorf("run control plane: %v", err)
		}
	})
	p.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	tb.Cleanup(p.stop)
	return p
}

// caller is somebody with an API key.
type caller struct {
	orgs        apiv1.OrganizationServiceClient
	accounts    apiv1.AccountServiceClient
	users       apiv1.UserServiceClient
	credentials apiv1.CredentialServiceClient
	operations  apiv1.OperationServiceClient
	usage       apiv1.UsageServiceClient
	roles       apiv1.RoleServiceClient
	services    apiv1.ServiceAccountServiceClient
	keys        apiv1.APIKeyServiceClient
	members     apiv1.MemberServiceClient
	invitations apiv1.InvitationServiceClient
	access      apiv1.AccessServiceClient
	exports     apiv1.ExportServiceClient
	imports     apiv1.ImportServiceClient
	shares      apiv1.ShareServiceClient
	watches     apiv1.WatchServiceClient
	federation  apiv1.FederationServiceClient
	alerts      apiv1.AlertServiceClient
	conn        *grpc.ClientConn
}

func (p *plane) as(tb testing.TB, key string) *caller {
	tb.Helper()
	conn, err := grpc.NewClient(p.APIAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if key != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
			}
			return invoke(ctx, method, req, reply, cc, opts...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			if key != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
			}
			return streamer(ctx, desc, cc, method, opts...)
		}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return &caller{
		orgs: apiv1.NewOrganizationServiceClient(conn), accounts: apiv1.NewAccountServiceClient(conn), users: apiv1.NewUserServiceClient(conn),
		credentials: apiv1.NewCredentialServiceClient(conn), operations: apiv1.NewOperationServiceClient(conn), usage: apiv1.NewUsageServiceClient(conn), conn: conn,
		roles: apiv1.NewRoleServiceClient(conn), services: apiv1.NewServiceAccountServiceClient(conn), keys: apiv1.NewAPIKeyServiceClient(conn),
		members: apiv1.NewMemberServiceClient(conn), invitations: apiv1.NewInvitationServiceClient(conn), access: apiv1.NewAccessServiceClient(conn),
		exports: apiv1.NewExportServiceClient(conn), imports: apiv1.NewImportServiceClient(conn), shares: apiv1.NewShareServiceClient(conn),
		watches: apiv1.NewWatchServiceClient(conn), federation: apiv1.NewFederationServiceClient(conn), alerts: apiv1.NewAlertServiceClient(conn),
	}
}

// signUp signs an organization up and returns the answer and its owner.
func (p *plane) signUp(tb testing.TB, org string) (*apiv1.SignUpResponse, *caller) {
	tb.Helper()
	resp, err := p.as(tb, p.key).orgs.SignUp(tb.Context(), &apiv1.SignUpRequest{OrganizationId: org, ContactEmail: org + "@example.com"})
	if err != nil {
		tb.Fatalf("sign up %s: %v", org, err)
	}
	return resp, p.as(tb, resp.GetApiKey())
}

func must[T any](t *testing.T, what string) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return v
	}
}

// wantError checks an error's code and reason, and returns it.
func wantError(t *testing.T, err error, code errs.Code, reason string) *errs.Error {
	t.Helper()
	e, ok := grpcerr.FromStatus(err).(*errs.Error) //nolint:errorlint // FromStatus returns it unwrapped
	if !ok {
		t.Fatalf("error is %v, want %s %s", err, code, reason)
	}
	if e.Code != code || e.Reason != reason {
		t.Errorf("error is %s %s (%s), want %s %s", e.Code, e.Reason, e.Message, code, reason)
	}
	if err != nil && grpcerr.RequestID(err) == "" {
		t.Error("the error carries no request id to quote")
	}
	return e
}
