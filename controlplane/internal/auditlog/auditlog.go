// Package auditlog keeps the audit log for years. Entries are born in etcd, in
// the transaction of the change that they tell of; within a minute they move to
// the SQL ledger, and from there they go to the sinks that the operator wants:
// a file, a webhook, an OTLP collector. The chain of hashes goes through both
// places, and its head stays in etcd, so that whoever can only change the
// ledger cannot change the log unseen.
//
// It decides nothing about what is logged. Run is for one control plane at a
// time; two at once do no harm but deliver twice. The rest may be called from
// any goroutine.
package auditlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/coveymq/covey/billing/ledger"
	"github.com/coveymq/covey/controlplane/internal/audit"
	"github.com/coveymq/covey/controlplane/internal/store"
)

const (
	moveEvery  = 10 * time.Second // well within a minute
	moveBatch  = 500              // entries in one transaction of the ledger
	sinkChains = 200              // chains that a sink is served in one go
	sinkBatch  = 500              // entries in one delivery
)

// Ledger keeps audit lines.
type Ledger interface {
	AppendAudit(ctx context.Context, lines []ledger.AuditLine) error
	AuditLines(ctx context.Context, chain string, after int64, limit int) ([]ledger.AuditLine, error)
	AuditChains(ctx context.Context) ([]string, error)
	AuditBehind(ctx context.Context, sink string, limit int) ([]ledger.AuditBacklog, error)
	AuditTaken(ctx context.Context, sink string, taken map[string]int64) error
}

// Record is an entry with whose log it belongs to.
type Record struct {
	Organization string `json:"organization,omitempty"` // none for the installation's own
	audit.Entry
}

// Sink takes copies of the log. Deliver is called again with the same records
// after an error, and may be after none: a sink gets each record at least once.
type Sink interface {
	// Name tells sinks apart. It holds no secret, and keeps its place in the log:
	// under another name a sink begins anew.
	Name() string
	Deliver(ctx context.Context, records []Record) error
}

// Log is the audit log of an installation.
type Log struct {
	store  *store.Store
	ledger Ledger
	sinks  []Sink
	log    *slog.Logger
	every  time.Duration
}

// New returns the audit log over a store and a ledger.
func New(s *store.Store, l Ledger, sinks []Sink, log *slog.Logger) *Log {
	return &Log{store: s, ledger: l, sinks: sinks, log: log.With("component", "audit"), every: moveEvery}
}

// Run moves entries and serves sinks until ctx ends. What fails is tried again
// at the next turn: nothing is lost meanwhile, it stays where it is.
func (l *Log) Run(ctx context.Context) error {
	ticker := time.NewTicker(l.every)
	defer ticker.Stop()
	for {
		l.turn(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (l *Log) turn(ctx context.Context) {
	if err := l.Move(ctx); err != nil && ctx.Err() == nil {
		l.log.WarnContext(ctx, "audit entries stay in etcd for now", "err", err)
	}
	for _, s := range l.sinks {
		if err := l.serve(ctx, s); err != nil && ctx.Err() == nil {
			l.log.WarnContext(ctx, "audit sink lags", "sink", s.Name(), "err", err)
		}
	}
}

// Move brings everything that waits in etcd to the ledger.
func (l *Log) Move(ctx context.Context) error {
	for {
		pending, err := l.store.PendingAudits(ctx, moveBatch)
		if err != nil || len(pending) == 0 {
			return err
		}
		lines := make([]ledger.AuditLine, len(pending))
		for i, p := range pending {
			if lines[i], err = lineOf(p); err != nil {
				return err
			}
		}
		if err := l.ledger.AppendAudit(ctx, lines); err != nil {
			return fmt.Errorf("append to ledger: %w", err)
		}
		if err := l.store.DropAudits(ctx, pending); err != nil {
			return err
		}
		if len(pending) < moveBatch {
			return nil
		}
	}
}

func lineOf(p store.PendingAudit) (ledger.AuditLine, error) {
	text, err := json.Marshal(p.Entry)
	if err != nil {
		return ledger.AuditLine{}, fmt.Errorf("encode audit entry: %w", err)
	}
	return ledger.AuditLine{Chain: p.Organization, Sequence: p.Entry.Sequence, Time: p.Entry.Time, Hash: p.Entry.Hash, Entry: string(text)}, nil
}

func entryOf(line ledger.AuditLine) (audit.Entry, error) {
	var e audit.Entry
	if err := json.Unmarshal([]byte(line.Entry), &e); err != nil {
		return audit.Entry{}, fmt.Errorf("audit entry %d of %q in the ledger: %w", line.Sequence, line.Chain, err)
	}
	return e, nil
}

// serve delivers to one sink what it has not taken.
func (l *Log) serve(ctx context.Context, s Sink) error {
	for {
		behind, err := l.ledger.AuditBehind(ctx, s.Name(), sinkChains)
		if err != nil || len(behind) == 0 {
			return err
		}
		for len(behind) > 0 {
			if behind, err = l.deliver(ctx, s, behind); err != nil {
				return err
			}
		}
	}
}

// deliver takes one batch of the backlogs, hands it over and notes that. It
// returns what is left of them.
func (l *Log) deliver(ctx context.Context, s Sink, behind []ledger.AuditBacklog) ([]ledger.AuditBacklog, error) {
	var records []Record
	taken := map[string]int64{}
	for len(behind) > 0 && len(records) < sinkBatch {
		b := &behind[0]
		lines, err := l.ledger.AuditLines(ctx, b.Chain, b.After, sinkBatch-len(records))
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			e, err := entryOf(line)
			if err != nil {
				return nil, err
			}
			records = append(records, Record{Organization: b.Chain, Entry: e})
			b.After = line.Sequence
		}
		taken[b.Chain] = b.After
		if b.After >= b.End || len(lines) == 0 {
			behind = behind[1:]
		}
	}
	if len(records) == 0 {
		return behind, nil
	}
	if err := s.Deliver(ctx, records); err != nil {
		return nil, fmt.Errorf("deliver %d audit entries: %w", len(records), err)
	}
	return behind, l.ledger.AuditTaken(ctx, s.Name(), taken)
}

// Entries reads at most limit entries of an organization's log that come after
// a sequence, in order, wherever they are.
func (l *Log) Entries(ctx context.Context, v *store.View, after int64, limit int) ([]audit.Entry, error) {
	_, waiting, err := v.Audit(ctx) // first: what moves meanwhile is then in the ledger
	if err != nil {
		return nil, err
	}
	lines, err := l.ledger.AuditLines(ctx, v.Organization(), after, limit)
	if err != nil {
		return nil, err
	}
	var entries []audit.Entry
	for _, line := range lines {
		e, err := entryOf(line)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
		after = e.Sequence
	}
	for _, e := range waiting {
		if e.Sequence > after && len(entries) < limit {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// Close releases the sinks.
func (l *Log) Close() error {
	var all []error
	for _, s := range l.sinks {
		if c, ok := s.(interface{ Close() error }); ok {
			all = append(all, c.Close())
		}
	}
	return errors.Join(all...)
}
