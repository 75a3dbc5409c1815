package authn

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// Principal is who is calling.
type Principal struct {
	KeyID          string
	KeyExpireTime  time.Time // zero when the key never expires
	Organization   string    // none for an operator
	ServiceAccount string    // none for an operator and a member, and for keys of older installations
	Member         string    // none unless it is a person
	Bindings       []store.RoleBinding
}

// Scope returns the data that the principal may reach.
func (p Principal) Scope() store.Scope {
	if p.Organization == "" {
		return store.Everything()
	}
	return store.Tenant(p.Organization)
}

// Holder returns who holds the principal's key; nobody for an operator.
func (p Principal) Holder() store.Holder {
	return store.Holder{ServiceAccount: p.ServiceAccount, Member: p.Member}
}

// Roles returns the principal's roles for logs and refusals, once each.
func (p Principal) Roles() string {
	var roles []string
	seen := map[string]bool{}
	for _, b := range p.Bindings {
		if !seen[b.Role] {
			seen[b.Role] = true
			roles = append(roles, b.Role)
		}
	}
	return strings.Join(roles, ", ")
}

// Keys reads API keys and whose they are.
type Keys interface {
	// APIKey returns the key of that id, or store.ErrNotFound.
	APIKey(ctx context.Context, id string) (store.APIKey, error)
	// BearerOf returns the service account or member that a key belongs to, or
	// store.ErrNotFound.
	BearerOf(ctx context.Context, key store.APIKey) (store.Bearer, error)
}

// Callers get one answer whatever is wrong with their key; Reason of the
// cause tells the log which.
var errUnauthenticated = errs.New(errs.Unauthenticated, "API_KEY_INVALID", "the API key is not valid").
	WithNext("check that it is complete and has been neither revoked nor expired")

// ErrNoKey means that the call carried no API key at all.
var ErrNoKey = errs.New(errs.Unauthenticated, "API_KEY_MISSING", "the call carries no API key").
	WithNext("send it as metadata: authorization: Bearer <key>")

// The reasons that only the log sees.
var (
	errMalformed   = errors.New("malformed API key")
	errUnknownKey  = errors.New("unknown API key")
	errWrongSecret = errors.New("wrong secret")
	errExpired     = errors.New("expired API key")
	errDisabled    = errors.New("disabled API key")
	errNoBearer    = errors.New("service account or member disabled or gone")
)

// Authenticate finds out who sent an authorization header. When it fails, the
// principal still names the key if its id could be read, for the log.
func Authenticate(ctx context.Context, keys Keys, header string, now time.Time) (Principal, error) {
	if header == "" {
		return Principal{}, ErrNoKey
	}
	scheme, text, _ := strings.Cut(header, " ")
	id, hash, ok := parseToken(accounts.PrefixAPIKey, strings.TrimSpace(text))
	if !strings.EqualFold(scheme, "bearer") || !ok {
		return Principal{}, errUnauthenticated.WithCause(errMalformed)
	}
	key, err := keys.APIKey(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return Principal{KeyID: id}, errUnauthenticated.WithCause(errUnknownKey)
	}
	if err != nil {
		return Principal{KeyID: id}, err
	}
	if err := usable(key, hash, now); err != nil {
		return Principal{KeyID: id}, errUnauthenticated.WithCause(err)
	}
	p := Principal{
		KeyID: id, KeyExpireTime: key.ExpireTime, Organization: key.Organization,
		ServiceAccount: key.ServiceAccount, Member: key.Member,
	}
	if key.Holder().IsZero() {
		p.Bindings = []store.RoleBinding{{Role: key.Role}}
		return p, nil
	}
	bearer, err := keys.BearerOf(ctx, key)
	if errors.Is(err, store.ErrNotFound) || err == nil && bearer.Disabled {
		return Principal{KeyID: id}, errUnauthenticated.WithCause(errNoBearer)
	}
	if err != nil {
		return Principal{KeyID: id}, err
	}
	p.Bindings = bearer.Bindings
	return p, nil
}

func usable(key store.APIKey, hash []byte, now time.Time) error {
	switch {
	case subtle.ConstantTimeCompare(hash, key.Hash) != 1:
		return errWrongSecret
	case key.Disabled:
		return errDisabled
	case !key.ExpireTime.IsZero() && !now.Before(key.ExpireTime):
		return errExpired
	}
	return nil
}
