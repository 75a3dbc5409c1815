package tenancy

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

const (
	resignBatch     = 100       // accounts of one change; etcd takes 128 compares
	resignBytes     = 512 << 10 // of claims in one change; etcd takes 1.5 MB
	dependentsShown = 100
)

// activeSigner is the operator's signing key, and the revision of the
// installation that says so; 0 if that was not read yet.
type activeSigner struct {
	signer   accounts.Signer
	revision int64
}

// signs returns who signs accounts. The change conflicts if that is somebody else
// when it commits: what is signed by a key that is no longer active never gets in
// behind the back of who signs everything again.
func (s *Service) signs(ctx context.Context, tx *store.Tx) (accounts.Signer, error) {
	known := s.operator.Load()
	if known.revision != 0 && !tx.Again {
		tx.ExpectInstallation(known.revision)
		return known.signer, nil
	}
	i, err := tx.Installation(ctx)
	if err != nil {
		return nil, fmt.Errorf("read installation: %w", err)
	}
	next := &activeSigner{signer: known.signer, revision: i.Revision}
	if next.signer == nil || next.signer.PublicKey() != i.SigningKey {
		if next.signer, err = openSigner(ctx, s.custody, rowSigning, i.SealedSigning); err != nil {
			return nil, fmt.Errorf("open operator signing key: %w", err)
		}
	}
	s.operator.Store(next)
	return next.signer, nil
}

// ResignAccounts signs the next accounts again that another key of the operator
// signed, and reports whether none are left.
func (s *Service) ResignAccounts(ctx context.Context, st *store.Store) (bool, error) {
	v, err := st.View(store.Everything(), "")
	if err != nil {
		return false, err
	}
	r, err := v.Resigning(ctx)
	if errs.CodeOf(err) == errs.NotFound || err == nil && r.Done() {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	change := store.Change{Scope: store.Everything(), Actor: "system", Method: "ResignAccounts", Target: "operator", Reason: "signing key " + r.Key}
	r, _, err = store.Update(ctx, st, change, func(ctx context.Context, tx *store.Tx) (store.Resigning, store.Outcome, error) {
		r, err := tx.Resigning(ctx)
		if err == nil && !r.Done() {
			err = s.resign(ctx, tx, &r)
		}
		return r, store.Outcome{}, err
	})
	return r.Done(), err
}

func (s *Service) resign(ctx context.Context, tx *store.Tx, r *store.Resigning) error {
	signer, err := s.signs(ctx, tx)
	if err != nil {
		return err
	}
	page, next, err := tx.ClaimsPage(ctx, store.Page{Size: resignBatch, After: r.After})
	if err != nil {
		return err
	}
	written := 0
	for i, a := range page {
		r.After = a.PublicKey
		r.Looked++
		n, err := s.resignOne(ctx, tx, a, signer)
		if err != nil {
			return err
		}
		if n > 0 {
			r.Signed++
		}
		if written += n; written > resignBytes && i < len(page)-1 {
			next = a.PublicKey
			break
		}
	}
	if next == "" {
		r.After, r.FinishTime = "", tx.Now
	}
	return tx.PutResigning(*r)
}

// resignOne signs an account again if need be, and returns how many bytes that
// are. Claims that nobody can read are no broker's either: they stay as they are.
func (s *Service) resignOne(ctx context.Context, tx *store.Tx, a store.SignedAccount, signer accounts.Signer) (int, error) {
	issuer, err := accounts.IssuerOf(a.Claims)
	if err != nil {
		s.log.ErrorContext(ctx, "claims unreadable, not signed again", slog.String("account", a.PublicKey), slog.Any("err", err))
		return 0, nil
	}
	if issuer == signer.PublicKey() {
		return 0, nil
	}
	text, err := accounts.SignAgain(a.Claims, signer)
	if err != nil {
		return 0, fmt.Errorf("sign account %s again: %w", a.PublicKey, err)
	}
	tx.PutClaims(a.PublicKey, text)
	return len(text), nil
}

// signedBy lists accounts whose claims a key signed, the first of them. All have
// been looked at when a signing again is done, since nothing else gets in.
func (s *Service) signedBy(ctx context.Context, tx *store.Tx, o *Operator, public string) ([]string, error) {
	r := o.Resigning
	if r == nil || r.Done() && r.Key == o.Installation.SigningKey {
		return nil, nil
	}
	var found []string
	// A view of its own: what others change meanwhile is no conflict.
	v := tx.Beside()
	for page := (store.Page{Size: resignBatch, After: r.After}); ; {
		list, next, err := v.ClaimsPage(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			if issuer, err := accounts.IssuerOf(a.Claims); err == nil && issuer == public {
				found = append(found, a.PublicKey)
			}
			if len(found) == dependentsShown {
				return found, nil
			}
		}
		if page.After = next; next == "" {
			return found, nil
		}
	}
}
