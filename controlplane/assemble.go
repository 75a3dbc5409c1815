package controlplane

import (
	"context"
	"errors"

	"github.com/coveymq/covey/controlplane/internal/api"
	"github.com/coveymq/covey/controlplane/internal/federation"
	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/resolver"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
)

// New opens the ports, the data directory and the store, and puts the control
// plane together. What cannot work fails here, and leaves nothing open. Run
// serves; a Server that is never run must be closed.
func New(ctx context.Context, cfg Config) (*Server, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{log: cfg.Logger.With("component", "controlplane"), dataDir: cfg.DataDir}
	if err := s.open(ctx, cfg); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open(ctx context.Context, cfg Config) (err error) {
	if s.listeners, err = listen(ctx, cfg); err != nil {
		return err
	}
	dir, err := s.openStore(ctx, cfg)
	if err != nil {
		return err
	}
	if s.root, err = tenancy.Bootstrap(ctx, s.store, s.custody); err != nil {
		return err
	}
	return s.assemble(ctx, cfg, dir)
}

// openStore opens the data directory, the store and the custody of its secrets.
func (s *Server) openStore(ctx context.Context, cfg Config) (*dataDir, error) {
	dir, err := openDataDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	s.onClose(dir.Close)
	if s.etcd, err = openEtcd(ctx, cfg, dir); err != nil {
		return nil, err
	}
	s.onClose(s.etcd.Close)
	if err := s.refuseUnfinished(ctx); err != nil {
		return nil, err
	}
	s.store = store.New(s.etcd.client, s.etcd.client, cfg.Logger)
	if s.custody, err = openCustody(ctx, cfg, s.store, dir); err != nil {
		return nil, err
	}
	s.onClose(s.custody.Close)
	return dir, s.store.Prepare(ctx, s.custody.Reseal)
}

// assemble connects the parts: usage and brokers on their own listeners, the
// API on its two.
func (s *Server) assemble(ctx context.Context, cfg Config, dir *dataDir) (err error) {
	if err := s.openLedger(ctx, cfg, dir); err != nil {
		return err
	}
	if err := s.openAudit(cfg); err != nil {
		return err
	}
	if err := s.openFleet(ctx, cfg); err != nil {
		return err
	}
	s.openReceiver(cfg)
	s.tenancy = tenancy.New(s.custody, s.root.Signer, cfg.Logger)
	s.openAlerts(cfg)
	s.api, err = api.New(api.Config{
		Store: s.store, Tenancy: s.tenancy, Watcher: s.etcd.client,
		Federation: federation.NewVerifier(cfg.IssuerClient),
		Fleet:      &operation.Shared{Fleet: brokers{s.fleet, s.store}}, Usage: ledgerUsage{s.ledger}, Staff: staff{s}, Audit: s.audit, Counter: counter{s.fleet}, Receivers: receivers{s.alerts}, Authority: fleetAuthority{s}, Logger: cfg.Logger,
	})
	if err != nil {
		return err
	}
	if s.gateway, err = api.NewGateway(ctx); err != nil {
		return err
	}
	s.onClose(s.gateway.Close)
	s.gateway.Handle(resolver.Path, resolver.Handler(s.store, cfg.Logger))
	s.singleton(s.followStock(cfg))
	s.singleton(s.every(sweepEvery, "old operations stay for now", s.sweep))
	s.singleton(s.every(purgeEvery, "deleted accounts stay for now", s.purgeDue))
	s.singleton(s.every(purgeEvery, "closed organizations stay for now", s.endDue))
	s.singleton(s.noteExpiring)
	s.singleton(s.every(operatorKeysEvery, "the operator's keys stay as they are for now", s.moveOperatorKeys))
	s.singleton(s.every(followEvery, "changes of plans and organizations wait", s.followPlans))
	s.singleton(s.every(authorityEvery, "the fleet's authorities stay as they are for now", s.activateFleetAuthority))
	s.background(s.api.NoteUses)
	s.background(s.lead(cfg.Logger))
	return nil
}
