package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/coveymq/covey/billing/ledger"
	"github.com/coveymq/covey/controlplane/internal/api"
	"github.com/coveymq/covey/controlplane/internal/fleet"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/usage"
)

// ledgerFile is the usage ledger's name in the data directory.
const ledgerFile = "ledger.db"

// openLedger opens the usage ledger and makes sure that it is the one of the
// whole installation.
func (s *Server) openLedger(ctx context.Context, cfg Config, dir *dataDir) (err error) {
	if cfg.LedgerURL.IsZero() {
		s.ledger, err = ledger.Open(ctx, dir.join(ledgerFile))
	} else {
		s.ledger, err = ledger.OpenPostgres(ctx, cfg.LedgerURL.Reveal())
	}
	if err != nil {
		return err
	}
	s.onClose(s.ledger.Close)
	ref := store.LedgerRef{ID: s.ledger.ID(), Kind: s.ledger.Kind(), Name: s.ledger.Name()}
	return s.store.RegisterLedger(ctx, ref, cfg.AdoptLedger)
}

// openReceiver starts the receiver of usage. Only brokers of the fleet, and
// collectors with a certificate of it, may report.
func (s *Server) openReceiver(cfg Config) {
	receiver := usage.New(s.ledger, usage.Options{Logger: cfg.Logger, Accounts: knownAccounts{s.store}})
	rpc := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(s.fleet.TLSConfig(tls.RequireAndVerifyClientCert))),
		grpc.MaxRecvMsgSize(usage.RequestBytesMax),
	)
	receiver.Register(rpc)
	s.background(receiver.Run)
	s.serve(rpc, s.listeners.otlp)
}

// knownAccounts tells the receiver whose usage it may book at once.
type knownAccounts struct{ store *store.Store }

// KnownAccount reports whether an account exists, or did.
func (k knownAccounts) KnownAccount(ctx context.Context, public string) (bool, error) {
	_, err := k.store.AccountByKey(ctx, public)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// ledgerReceipts lets brokers compare their counts with the ledger's.
type ledgerReceipts struct{ *ledger.Ledger }

// Receipts returns digests of what the ledger holds.
func (l ledgerReceipts) Receipts(ctx context.Context, incarnation string, windows []int64) ([]fleet.Receipt, error) {
	held, err := l.Ledger.Receipts(ctx, incarnation, windows)
	if err != nil {
		return nil, err
	}
	out := make([]fleet.Receipt, len(held))
	for i, r := range held {
		out[i] = fleet.Receipt(r)
	}
	return out, nil
}

// ledgerUsage lets the API read the ledger.
type ledgerUsage struct{ *ledger.Ledger }

// QueryUsage sums the meters of accounts.
func (l ledgerUsage) QueryUsage(ctx context.Context, accounts []string, from, to time.Time) ([]api.AccountUsage, error) {
	used, err := l.Usage(ctx, accounts, from, to)
	if err != nil {
		return nil, err
	}
	out := make([]api.AccountUsage, len(used))
	for i, u := range used {
		out[i] = api.AccountUsage{
			PublicKey: u.Account, PublishedMessages: u.Published, PublishedBytes: u.PublishedBytes,
			DeliveredMessages: u.Delivered, DeliveredBytes: u.DeliveredBytes, ReportedTime: u.Reported,
		}
	}
	return out, nil
}
