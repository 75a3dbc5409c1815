package controlplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/coveymq/covey/billing/ledger"
	"github.com/coveymq/covey/controlplane/internal/alerts"
	"github.com/coveymq/covey/controlplane/internal/api"
	"github.com/coveymq/covey/controlplane/internal/auditlog"
	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/controlplane/internal/fleet"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/lifecycle"
)

const drainTimeout = 3 * time.Second // for calls under way when the control plane stops

// Server is a control plane. New makes it, Run serves until its context ends
// and then closes it.
type Server struct {
	// Immutable after New.
	log       *slog.Logger
	dataDir   string
	dir       *dataDir // set for maintenance only
	listeners *listeners
	etcd      *etcd
	store     *store.Store
	custody   *custody.Custody
	root      tenancy.Root
	tenancy   *tenancy.Service
	ledger    *ledger.Ledger
	audit     *auditlog.Log
	fleet     *fleet.Service
	alerts    *alerts.Engine
	api       *api.Server
	gateway   *api.Gateway
	work      []func(context.Context) error // runs beside the servers
	alone     []func(context.Context) error // runs in one control plane of all
	closers   []func() error                // in the order of opening
}

func (s *Server) onClose(f func() error) { s.closers = append(s.closers, f) }

// singleton is work that one control plane of all does at a time.
func (s *Server) singleton(f func(context.Context) error) { s.alone = append(s.alone, f) }

func (s *Server) background(f func(context.Context) error) { s.work = append(s.work, f) }

// APIAddr returns the bound address of the gRPC listener.
func (s *Server) APIAddr() string { return s.listeners.api.Addr().String() }

// HTTPAddr returns the bound address of the REST listener.
func (s *Server) HTTPAddr() string { return s.listeners.http.Addr().String() }

// FleetAddr returns the bound address of the listener for brokers.
func (s *Server) FleetAddr() string { return s.listeners.fleet.Addr().String() }

// OTLPAddr returns the bound address of the listener for usage reports.
func (s *Server) OTLPAddr() string { return s.listeners.otlp.Addr().String() }

// OperatorPublicKey returns the public key of the trust root, by which brokers
// verify everything that they are told.
func (s *Server) OperatorPublicKey() string { return s.root.Installation.RootKey }

// InstallationID returns the id of this installation, the same at every start.
func (s *Server) InstallationID() string { return s.root.Installation.ID }

// BootstrapKey returns the operator's first API key, only from the start that
// made it; otherwise "". It is a secret and stored nowhere.
func (s *Server) BootstrapKey() string { return s.root.FirstKey.Reveal() }

// NewOperatorKey makes another API key of the operator: for whoever holds the
// data directory and has lost the first one. It is a secret and stored nowhere.
func (s *Server) NewOperatorKey(ctx context.Context) (string, error) {
	key, err := tenancy.NewOperatorKey(ctx, s.store)
	return key.Reveal(), err
}

// Run serves until ctx ends or something fails, drains, and closes the Server.
func (s *Server) Run(ctx context.Context) error {
	group := lifecycle.NewGroup(ctx)
	rpc, web := s.api.GRPC(), s.gateway.Server()
	group.Go(func(context.Context) error { return serveGRPC(rpc, s.listeners.api) })
	group.Go(func(context.Context) error { return serveGRPC(rpc, s.gateway.Listener()) })
	group.Go(func(context.Context) error { return serveHTTP(web, s.listeners.http) })
	for _, work := range s.work {
		group.Go(work)
	}
	group.Go(func(ctx context.Context) error {
		var err error
		select {
		case <-ctx.Done():
		case <-s.etcd.stopped():
			err = errs.New(errs.Unavailable, "STORE_STOPPED", "the store stopped by itself").WithNext("the log says why")
		}
		s.drain(rpc, web)
		return err
	})
	s.log.InfoContext(ctx, "control plane ready", "api", s.APIAddr(), "http", s.HTTPAddr())
	err := group.Wait()
	return errors.Join(err, s.Close())
}

// drain lets calls under way finish for a while, then cuts them off.
func (s *Server) drain(rpc *grpc.Server, web *http.Server) {
	s.api.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := web.Shutdown(ctx); err != nil {
		_ = web.Close() // what is left was given its time
	}
	stop := context.AfterFunc(ctx, rpc.Stop)
	defer stop()
	// The gateway's connection idles open; without closing it first the gRPC
	// server would wait for it.
	_ = s.gateway.Close()
	rpc.GracefulStop()
}

// Close releases everything that New opened. Run does it by itself.
func (s *Server) Close() error {
	var all []error
	if s.listeners != nil {
		s.listeners.close()
	}
	for _, f := range slices.Backward(s.closers) {
		all = append(all, f())
	}
	s.closers = nil
	return errors.Join(all...)
}

func serveGRPC(rpc *grpc.Server, l net.Listener) error {
	if err := rpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve gRPC: %w", err)
	}
	return nil
}

func serveHTTP(web *http.Server, l net.Listener) error {
	if err := web.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}
