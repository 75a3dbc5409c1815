// Package tenancy holds the rules of organizations, accounts, users,
// credentials, service accounts and API keys: what a change checks, what it writes, which keys it makes and
// which claims it signs. Its functions run inside a store.Tx and may run more
// than once for one change.
//
// It knows nothing of gRPC or of brokers, and of who calls only what a Caller
// says.
package tenancy

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/custody"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// Service applies the rules. It may be used from many goroutines, and remembers
// nothing but who signs accounts.
type Service struct {
	custody  *custody.Custody
	operator atomic.Pointer[activeSigner] // never the root
	log      *slog.Logger
}

// New returns a service that signs accounts with the operator's signing key, as
// long as that is the active one.
func New(c *custody.Custody, operator accounts.Signer, log *slog.Logger) *Service {
	s := &Service{custody: c, log: log.With("component", "tenancy")}
	s.operator.Store(&activeSigner{signer: operator})
	return s
}

// sealedKey is a new account-type key pair, its seed sealed.
type sealedKey struct {
	public string
	sealed []byte
}

// newKey makes a key pair of an account and seals its seed. The row is named
// by the account's key, "" for the account's own, and by what the key is for.
func newKey(ctx context.Context, c *custody.Custody, account, use string) (sealedKey, error) {
	seed, err := accounts.NewAccountKey()
	if err != nil {
		return sealedKey{}, err
	}
	public, err := seed.PublicKey()
	if err != nil {
		return sealedKey{}, err
	}
	if account == "" {
		account = public
	}
	if strings.HasPrefix(use, useRole) {
		use += "/" + public // a role has several
	}
	sealed, err := c.Seal(ctx, rowName(account, use), seed.Reveal())
	if err != nil {
		return sealedKey{}, fmt.Errorf("seal %s key: %w", use, err)
	}
	return sealedKey{public: public, sealed: sealed}, nil
}

func (s *Service) signer(ctx context.Context, account, use string, sealed []byte) (accounts.Signer, error) {
	return openSigner(ctx, s.custody, rowName(account, use), sealed)
}

func openSigner(ctx context.Context, c *custody.Custody, row string, sealed []byte) (accounts.Signer, error) {
	text, err := c.Unseal(ctx, row, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	seed, err := accounts.ParseSeed(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", row, err)
	}
	return seed.Signer()
}

func rowName(account, use string) string { return "account/" + account + "/" + use }

// The uses of account keys.
const (
	useIdentity = "identity"
	useDirect   = "direct"
	useRole     = "role/" // then the role's name, and the public key
)

// checkEtag refuses a change that its caller made up from an older state.
func checkEtag(etag string, revision int64) error {
	if etag == "" || etag == Etag(revision) {
		return nil
	}
	return errs.New(errs.Conflict, "STALE_ETAG", "the resource has changed since etag %q", etag).
		WithField("etag").WithNext("read it again and repeat the change on what is there now")
}

// Etag returns the etag of a resource at a revision.
func Etag(revision int64) string {
	if revision == 0 {
		return ""
	}
	return strconv.FormatInt(revision, 10)
}

// publish signs the claims of an account as it now is and begins the operation
// that brings them to the brokers.
func (s *Service) publish(ctx context.Context, tx *store.Tx, method, target string, a store.Account, roles []store.Role, r store.Revocations, changes ...shareChange) (store.Operation, error) {
	if err := s.sign(ctx, tx, a, roles, r, changes...); err != nil {
		return store.Operation{}, err
	}
	return tx.BeginOperation(method, target)
}

// sign signs the claims of an account as it now is, within what its organization
// is granted.
func (s *Service) sign(ctx context.Context, tx *store.Tx, a store.Account, roles []store.Role, r store.Revocations, changes ...shareChange) error {
	standing, err := StandingOf(ctx, tx)
	if err != nil {
		return err
	}
	spec := accounts.AccountSpec{
		PublicKey: a.PublicKey, Name: tx.Organization() + "/" + a.ID, Limits: standing.limits(a),
		Suspended: a.Suspended || a.Deleted() || !standing.Organization.Served(),
		Keys:      []string{a.DirectKey}, Revocations: r.All(), Callout: a.AuthCallout, Carried: a.Carried,
	}
	for _, k := range a.OtherKeys {
		spec.Keys = append(spec.Keys, k.PublicKey)
	}
	for _, role := range roles {
		spec.Roles = append(spec.Roles, accounts.Role{Name: role.Name, Permissions: role.Permissions, Limits: role.Limits, Keys: liveKeys(role), Carried: role.Carried})
	}
	if err := sharing(ctx, tx, a.ID, &spec, changes); err != nil {
		return err
	}
	signer, err := s.signs(ctx, tx)
	if err != nil {
		return err
	}
	text, err := accounts.SignAccount(spec, signer)
	if err != nil {
		return err
	}
	tx.PutClaims(a.PublicKey, text)
	return nil
}

// signStored signs the claims of an account anew that is as stored.
func (s *Service) signStored(ctx context.Context, tx *store.Tx, a store.Account) error {
	roles, err := tx.Roles(ctx, a.ID)
	if err != nil {
		return err
	}
	r, err := tx.Revocations(ctx, a.ID)
	if err != nil {
		return err
	}
	return s.sign(ctx, tx, a, roles, r)
}

// republish publishes an account whose roles and revocations are as stored. A
// Tx does not read what it writes: changes of what is shared come along.
func (s *Service) republish(ctx context.Context, tx *store.Tx, method, target string, a store.Account, changes ...shareChange) (store.Operation, error) {
	roles, err := tx.Roles(ctx, a.ID)
	if err != nil {
		return store.Operation{}, err
	}
	r, err := tx.Revocations(ctx, a.ID)
	if err != nil {
		return store.Operation{}, err
	}
	return s.publish(ctx, tx, method, target, a, roles, r, changes...)
}

// CredentialLife is where a credential is in its life.
type CredentialLife int

// The states of a credential.
const (
	Active CredentialLife = iota
	Expired
	Revoked
	IssuerRetired
	Superseded // renewed, and good still
)

// good reports whether brokers let a credential in that is in this state.
func (l CredentialLife) good() bool { return l == Active || l == Superseded }

// LifeOf computes the state of a credential from its record and from what its
// account refuses.
func LifeOf(c store.Credential, r accounts.Revocations, now time.Time) CredentialLife {
	switch {
	case !c.RevokeTime.IsZero() || r.Revoked(c.PublicKey, c.IssueTime.Unix()):
		return Revoked
	case !c.ExpireTime.IsZero() && !now.Before(c.ExpireTime):
		return Expired
	case c.Superseded:
		return Superseded
	}
	return Active
}
