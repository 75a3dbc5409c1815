package controlplane

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"

	"github.com/coveymq/covey/controlplane/internal/api"
	"github.com/coveymq/covey/controlplane/internal/fleet"
	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/refused"
	"github.com/coveymq/covey/controlplane/internal/seen"
	"github.com/coveymq/covey/controlplane/internal/stock"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// custodyOfFleet names the row under which the fleet's CA key is sealed.
const custodyOfFleet = "fleet/ca"

// openFleet starts the service that brokers call, on its own listener.
func (s *Server) openFleet(ctx context.Context, cfg Config) error {
	collected := refused.New(s.store, cfg.Logger)
	s.background(collected.Run)
	sightings := seen.New(s.store, cfg.Logger)
	s.background(sightings.Run)
	service, err := fleet.New(ctx, fleet.Config{
		Etcd: s.etcd.client, Custody: s.custody.Row(custodyOfFleet), Receipts: ledgerReceipts{s.ledger}, Refused: collected.Take, Seen: sightings.Take,
		Logger: cfg.Logger,
	})
	if err != nil {
		return err
	}
	s.fleet = service
	rpc := grpc.NewServer(service.ServerOptions()...)
	service.Register(rpc)
	s.background(service.Run)
	s.serve(rpc, s.listeners.fleet)
	return nil
}

// serve runs a gRPC server until the control plane stops. Brokers' calls are
// cut off, not carried to their end: they are made again elsewhere or later.
func (s *Server) serve(rpc *grpc.Server, on net.Listener) {
	s.background(func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, rpc.Stop)
		defer stop()
		return serveGRPC(rpc, on)
	})
}

// JoinToken makes a secret with which one broker may enrol within ttl.
func (s *Server) JoinToken(ctx context.Context, ttl time.Duration) (string, error) {
	token, err := s.fleet.JoinToken(ctx, ttl)
	if err != nil {
		return "", errs.New(errs.CodeOf(err), "JOIN_TOKEN_FAILED", "no join token could be made").WithCause(err)
	}
	return token.Reveal(), nil
}

// brokers lets operations see the fleet, and the stock servers that follow.
type brokers struct {
	*fleet.Service
	store *store.Store
}

// Brokers returns all brokers and stock servers as they are now.
func (b brokers) Brokers(ctx context.Context) ([]operation.Broker, error) {
	own, err := b.own(ctx)
	if err != nil {
		return nil, err
	}
	clusters, err := b.store.FollowedClusters(ctx)
	if err != nil {
		return nil, err
	}
	return append(own, stock.Servers(clusters)...), nil
}

// own returns the brokers of the fleet as they are now.
func (b brokers) own(ctx context.Context) ([]operation.Broker, error) {
	known, err := b.Service.Brokers(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]operation.Broker, len(known))
	for i, p := range known {
		out[i] = operation.Broker{
			ID: p.ID, ServerName: p.ServerName, AckedRevision: p.AckedRevision, AckTime: p.AckTime,
			Leased: p.Leased, Exited: p.Exited, ServeUntil: p.ServeUntil,
			Version: p.Version, Connections: p.Connections, Accounts: p.Accounts, EnrolTime: p.EnrolledAt, LastContact: p.LastContact,
			Draining: p.Draining, Revoked: p.Revoked, Authorities: p.Authorities,
		}
	}
	return out, nil
}

// counter lets previews ask brokers.
type counter struct{ *fleet.Service }

// CountConnections asks all brokers that are there.
func (c counter) CountConnections(ctx context.Context, of []api.ConnectionSelection) (api.ConnectionCount, error) {
	all := make([]fleet.Selection, len(of))
	for i, s := range of {
		all[i] = fleet.Selection{Account: s.Account, Users: s.Users, Issuers: s.Issuers}
	}
	n, err := c.Service.CountConnections(ctx, all)
	return api.ConnectionCount{Connections: n.Connections, Answered: n.Answered, Missing: n.Missing}, err
}
