package auditlog

import (
	"context"
	"fmt"

	"github.com/coveymq/covey/controlplane/internal/audit"
	"github.com/coveymq/covey/controlplane/internal/store"
)

const verifyPage = 1000 // entries read in one go

// Verdict is what a check of one chain found.
type Verdict struct {
	Organization string // "" is the installation itself
	Entries      int64  // that were checked, from the first on
	Head         int64  // where the store says that the log ends
	Problem      string // "" is none
}

// Verify checks one chain from its first entry to the head in the store: that
// no entry was changed, taken out, put in or cut off. A Problem is a finding;
// an error means that the check could not be made.
func (l *Log) Verify(ctx context.Context, v *store.View) (Verdict, error) {
	out := Verdict{Organization: v.Organization()}
	head, waiting, err := v.Audit(ctx) // first: what moves meanwhile is then in the ledger
	if err != nil {
		return out, err
	}
	out.Head = head.Sequence
	var at audit.Head
	for at.Sequence < head.Sequence {
		lines, err := l.ledger.AuditLines(ctx, v.Organization(), at.Sequence, int(min(verifyPage, head.Sequence-at.Sequence)))
		if err != nil {
			return out, err
		}
		if len(lines) == 0 {
			break
		}
		for _, line := range lines {
			e, err := entryOf(line)
			if err != nil {
				return out.found(at, err), nil
			}
			if at, err = at.Verify([]audit.Entry{e}); err != nil {
				return out.found(at, err), nil
			}
		}
	}
	for _, e := range waiting {
		if e.Sequence <= at.Sequence {
			continue // it is in the ledger, too
		}
		if at, err = at.Verify([]audit.Entry{e}); err != nil {
			return out.found(at, err), nil
		}
	}
	if at != head {
		return out.found(at, fmt.Errorf("the log ends with entry %d, and the store says %d", at.Sequence, head.Sequence)), nil
	}
	out.Entries = at.Sequence
	return out, nil
}

func (v Verdict) found(at audit.Head, problem error) Verdict {
	v.Entries, v.Problem = at.Sequence, problem.Error()
	return v
}

// VerifyAll checks the installation's own log, then every organization's, and
// logs in the ledger that no organization has. Each gets every verdict.
func (l *Log) VerifyAll(ctx context.Context, each func(Verdict) error) error {
	seen := map[string]bool{}
	check := func(organization string) error {
		seen[organization] = true
		v, err := l.store.View(store.Everything(), organization)
		if err != nil {
			return err
		}
		verdict, err := l.Verify(ctx, v)
		if err != nil {
			return err
		}
		return each(verdict)
	}
	if err := check(""); err != nil {
		return err
	}
	page, err := store.ParsePage(0, "")
	if err != nil {
		return err
	}
	for {
		organizations, next, err := l.store.Organizations(ctx, store.Everything(), page)
		if err != nil {
			return err
		}
		for _, o := range organizations {
			if err := check(o.ID); err != nil {
				return err
			}
		}
		if page.After = next; next == "" {
			break
		}
	}
	chains, err := l.ledger.AuditChains(ctx)
	if err != nil {
		return err
	}
	for _, chain := range chains {
		if seen[chain] {
			continue
		}
		if err := each(Verdict{Organization: chain, Problem: "the store knows no such organization"}); err != nil {
			return err
		}
	}
	return nil
}
