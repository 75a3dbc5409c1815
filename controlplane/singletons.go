package controlplane

import (
	"context"
	"log/slog"
	"os"

	"github.com/coveymq/covey/controlplane/internal/auditlog"
	"github.com/coveymq/covey/controlplane/internal/leader"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/lifecycle"
)

// lead returns what runs the singletons while this control plane is elected.
func (s *Server) lead(log *slog.Logger) func(context.Context) error {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	cfg := leader.Config{Etcd: s.etcd.client, Key: store.LeaderKey, Name: name + " " + s.APIAddr(), Logger: log}
	return func(ctx context.Context) error { return leader.Run(ctx, cfg, s.runAlone) }
}

func (s *Server) runAlone(ctx context.Context) error {
	group := lifecycle.NewGroup(ctx)
	for _, work := range s.alone {
		group.Go(work)
	}
	return group.Wait()
}

// openAudit connects the audit log with the ledger and its sinks.
func (s *Server) openAudit(cfg Config) error {
	sinks, err := auditSinks(cfg.Audit)
	if err != nil {
		return err
	}
	s.audit = auditlog.New(s.store, s.ledger, sinks, cfg.Logger)
	s.onClose(s.audit.Close)
	s.singleton(s.audit.Run)
	return nil
}

func auditSinks(cfg AuditConfig) (sinks []auditlog.Sink, err error) {
	if cfg.File != "" {
		file, err := auditlog.NewFile(cfg.File)
		if err != nil {
			return nil, err
		}
		sinks = append(sinks, file)
	}
	if !cfg.WebhookSecret.IsZero() && cfg.WebhookURL.IsZero() {
		return nil, errs.New(errs.Invalid, "AUDIT_SINK_INVALID", "there is a secret for the audit webhook, and no URL")
	}
	if !cfg.WebhookURL.IsZero() {
		hook, err := auditlog.NewWebhook(cfg.WebhookURL.Reveal(), []byte(cfg.WebhookSecret.Reveal()))
		if err != nil {
			return nil, err
		}
		sinks = append(sinks, hook)
	}
	if cfg.OTLP != "" {
		collector, err := auditlog.NewOTLP(cfg.OTLP)
		if err != nil {
			return nil, err
		}
		sinks = append(sinks, collector)
	}
	return sinks, nil
}
