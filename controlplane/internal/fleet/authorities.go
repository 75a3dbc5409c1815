package fleet

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/coveymq/covey/internal/errs"
)

// AuthorityState is where a CA of the fleet is in its life.
type AuthorityState string

// The states of a CA, in their order. All of these are trusted; one that is
// retired is gone.
const (
	AuthorityStaged     AuthorityState = "staged"      // brokers learn to trust it; it signs nothing
	AuthorityActive     AuthorityState = "active"      // it signs
	AuthorityVerifyOnly AuthorityState = "verify-only" // it signs for those only that know no other
)

// storedOther is a CA that is not the active one.
type storedOther struct {
	Certificate  []byte         `json:"certificate"`
	EncryptedKey []byte         `json:"encrypted_key"`
	State        AuthorityState `json:"state"`
	Since        time.Time      `json:"since"`
}

// Authority is what people see of a CA.
type Authority struct {
	ID      string // of its certificate's SHA-256 the first half
	State   AuthorityState
	Since   time.Time // when it came to that state
	Expires time.Time
}

// authorities are the fleet's CAs at one revision, the active one first.
// Immutable.
type authorities struct {
	all      []*authority
	revision int64
}

func decodeAuthorities(value []byte, revision int64, custody Custody) (*authorities, error) {
	stored, err := decodeStored(value)
	if err != nil {
		return nil, err
	}
	set := &authorities{revision: revision}
	for _, o := range append([]storedOther{stored.active()}, stored.Others...) {
		cert, err := x509.ParseCertificate(o.Certificate)
		if err != nil {
			return nil, fmt.Errorf("parse fleet ca: %w", err)
		}
		set.all = append(set.all, &authority{cert: cert, sealed: o.EncryptedKey, custody: custody, state: o.State, since: o.Since})
	}
	return set, nil
}

func decodeStored(value []byte) (storedAuthority, error) {
	var stored storedAuthority
	if err := json.Unmarshal(value, &stored); err != nil {
		return stored, fmt.Errorf("decode fleet ca: %w", err)
	}
	return stored, nil
}

func (s *storedAuthority) active() storedOther {
	return storedOther{Certificate: s.Certificate, EncryptedKey: s.EncryptedKey, State: AuthorityActive, Since: s.Since}
}

func (s *storedAuthority) find(state AuthorityState) int {
	return slices.IndexFunc(s.Others, func(o storedOther) bool { return o.State == state })
}

func (s *storedAuthority) text() (string, error) {
	value, err := json.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("encode fleet ca: %w", err)
	}
	return string(value), nil
}

func (a *authorities) active() *authority { return a.all[0] }

func (a *authorities) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, one := range a.all {
		pool.AddCert(one.cert)
	}
	return pool
}

// roots are the certificates that brokers are to trust.
func (a *authorities) roots() [][]byte {
	roots := make([][]byte, len(a.all))
	for i, one := range a.all {
		roots[i] = one.cert.Raw
	}
	return roots
}

// fingerprints tell a broker which CAs it is to trust; the first one is to have
// signed its certificate.
func (a *authorities) fingerprints() [][]byte {
	all := make([][]byte, len(a.all))
	for i, one := range a.all {
		sum := one.fingerprint()
		all[i] = sum[:]
	}
	return all
}

// pinned returns the CA that a fingerprint names, or nil.
func (a *authorities) pinned(pin [sha256.Size]byte) *authority {
	for _, one := range a.all {
		if one.fingerprint() == pin {
			return one
		}
	}
	return nil
}

// known by a client that says so in the name that it asks for; the active one if
// it does not.
func (a *authorities) asked(name string) *authority {
	if hint, ok := strings.CutSuffix(name, "."+ServerName); ok {
		for _, one := range a.all {
			if one.id() == hint {
				return one
			}
		}
	}
	return a.active()
}

func (a *authorities) signed(chains [][]*x509.Certificate) bool {
	for _, chain := range chains {
		if len(chain) > 0 && a.pinned(sha256.Sum256(chain[len(chain)-1].Raw)) != nil {
			return true
		}
	}
	return false
}

// idOf shortens a fingerprint for people and for records.
func idOf(sum []byte) string { return hex.EncodeToString(sum[:min(len(sum), sha256.Size/2)]) }

func (a *authority) id() string {
	sum := a.fingerprint()
	return idOf(sum[:])
}

// Authorities shows the CAs of a stored value, the active one first.
func Authorities(value string) ([]Authority, error) {
	set, err := decodeAuthorities([]byte(value), 0, nil)
	if err != nil {
		return nil, err
	}
	var all []Authority
	for _, one := range set.all {
		since := one.since
		if since.IsZero() {
			since = one.cert.NotBefore.Add(clockSlack)
		}
		all = append(all, Authority{ID: one.id(), State: one.state, Since: since, Expires: one.cert.NotAfter})
	}
	return all, nil
}

// StageAuthority makes the fleet's next CA.
func StageAuthority(ctx context.Context, value string, custody Custody, now time.Time) (string, error) {
	stored, err := decodeStored([]byte(value))
	if err != nil {
		return "", err
	}
	if len(stored.Others) > 0 {
		return "", errs.New(errs.Precondition, "AUTHORITY_STAGED", "the fleet has two certificate authorities already").
			WithNext("retire the one that is no longer used: `covey admin fleet-ca show`")
	}
	fresh, err := newAuthority(ctx, custody)
	if err != nil {
		return "", err
	}
	next := fresh.active()
	next.State, next.Since = AuthorityStaged, now
	stored.Others = append(stored.Others, next)
	return stored.text()
}

// ActivateAuthority lets the staged CA sign.
func ActivateAuthority(value string, now time.Time) (string, error) {
	stored, err := decodeStored([]byte(value))
	if err != nil {
		return "", err
	}
	i := stored.find(AuthorityStaged)
	if i < 0 {
		return "", errs.New(errs.Precondition, "NO_STAGED_AUTHORITY", "the fleet has no staged certificate authority")
	}
	next, old := stored.Others[i], stored.active()
	old.State, old.Since = AuthorityVerifyOnly, now
	stored.Others[i] = old
	stored.Certificate, stored.EncryptedKey, stored.Since = next.Certificate, next.EncryptedKey, now
	return stored.text()
}

// RetireAuthority ends the trust in a CA, and forgets its key.
func RetireAuthority(value, id string) (string, error) {
	stored, err := decodeStored([]byte(value))
	if err != nil {
		return "", err
	}
	is := func(certificate []byte) bool {
		sum := sha256.Sum256(certificate)
		return idOf(sum[:]) == id
	}
	if is(stored.Certificate) {
		return "", errs.New(errs.Precondition, "AUTHORITY_ACTIVE", "the certificate authority %s signs for the fleet", id).WithNext("rotate first")
	}
	i := slices.IndexFunc(stored.Others, func(o storedOther) bool { return is(o.Certificate) })
	if i < 0 {
		return "", errs.New(errs.NotFound, "AUTHORITY_NOT_FOUND", "the fleet has no certificate authority %s", id).WithNext("`covey admin fleet-ca show` lists them")
	}
	stored.Others = slices.Delete(stored.Others, i, i+1)
	return stored.text()
}

// adoptAuthorities takes the CAs as the store has them now, and tells every broker
// which they are.
func (s *Service) adoptAuthorities(ctx context.Context, value []byte, revision int64) {
	set, err := decodeAuthorities(value, revision, s.custody)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "fleet ca unreadable, the known one stays", slog.Any("err", err))
		return
	}
	if revision <= s.authorities.Load().revision {
		return
	}
	s.authorities.Store(set)
	s.log.LogAttrs(ctx, slog.LevelInfo, "fleet ca changed", slog.Int("trusted", len(set.all)), slog.String("active", set.active().id()))
	s.feed.greetAgain()
}

// AuthorityRevision is the revision of the CAs that the service goes by.
func (s *Service) AuthorityRevision() int64 { return s.authorities.Load().revision }

// greetAgain sends every broker a Welcome.
func (f *feed) greetAgain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for q := range f.queues {
		q.putGreeting()
	}
}
