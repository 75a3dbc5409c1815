package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/coveymq/covey/docs/api"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const (
	headerTimeout = 10 * time.Second // a client that is slower with its headers is cut off
	bodyTimeout   = 30 * time.Second
	httpIdleMax   = 2 * time.Minute
	headerMax     = 16 << 10
)

// Gateway serves the API as REST. Its calls go to the gRPC server through a
// pipe inside the process, so that both fronts share every check.
type Gateway struct {
	once   sync.Once
	pipe   *pipeListener
	conn   *grpc.ClientConn
	routes *http.ServeMux
}

// NewGateway returns a gateway whose Listener the gRPC server must serve.
func NewGateway(ctx context.Context) (*Gateway, error) {
	pipe := newPipeListener()
	conn, err := grpc.NewClient("passthrough:///covey",
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the pipe never leaves the process
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.dial(ctx) }))
	if err != nil {
		return nil, fmt.Errorf("connect gateway: %w", err)
	}
	mux := runtime.NewServeMux()
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		apiv1.RegisterOrganizationServiceHandler, apiv1.RegisterAccountServiceHandler, apiv1.RegisterUserServiceHandler,
		apiv1.RegisterCredentialServiceHandler, apiv1.RegisterOperationServiceHandler, apiv1.RegisterUsageServiceHandler,
		apiv1.RegisterRoleServiceHandler, apiv1.RegisterServiceAccountServiceHandler, apiv1.RegisterAPIKeyServiceHandler,
		apiv1.RegisterMemberServiceHandler, apiv1.RegisterInvitationServiceHandler, apiv1.RegisterAccessServiceHandler,
		apiv1.RegisterExportServiceHandler, apiv1.RegisterImportServiceHandler, apiv1.RegisterShareServiceHandler, apiv1.RegisterWatchServiceHandler,
		apiv1.RegisterFederationServiceHandler, apiv1.RegisterPlanServiceHandler,
	} {
		if err := register(ctx, mux, conn); err != nil {
			return nil, fmt.Errorf("register gateway: %w", err)
		}
	}
	g := &Gateway{pipe: pipe, conn: conn, routes: http.NewServeMux()}
	g.routes.Handle("/v1/", http.MaxBytesHandler(mux, messageBytesMax))
	g.routes.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(apidocs.OpenAPI())
	})
	g.routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	return g, nil
}

// Listener is what the gRPC server must serve besides its own listener.
func (g *Gateway) Listener() net.Listener { return g.pipe }

// Handle adds a route.
func (g *Gateway) Handle(pattern string, h http.Handler) { g.routes.Handle(pattern, h) }

// Server returns a new HTTP server with limits on time and size.
func (g *Gateway) Server() *http.Server {
	return &http.Server{
		Handler: g.routes, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout,
		WriteTimeout: deadlineMax + headerTimeout, IdleTimeout: httpIdleMax, MaxHeaderBytes: headerMax,
	}
}

// Close ends the gateway's connection to the gRPC server. Closing it again
// does nothing.
func (g *Gateway) Close() error {
	var err error
	g.once.Do(func() { err = g.conn.Close() })
	if err != nil {
		return fmt.Errorf("close gateway: %w", err)
	}
	return nil
}
