package authn

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// Principal is who is calling.
type Principal struct {
	KeyID        string
	Organization string // none for an operator
	Role         string
}

// Scope returns the data that the principal may reach.
func (p Principal) Scope() store.Scope {
	if p.Organization == "" {
		return store.Everything()
	}
	return store.Tenant(p.Organization)
}

// Keys reads API keys.
type Keys interface {
	// APIKey returns the key of that id, or store.ErrNotFound.
	APIKey(ctx context.Context, id string) (store.APIKey, error)
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
)

// Authenticate finds out who sent an authorization header. When it fails, the
// principal still names the key if its id could be read, for the log.
func Authenticate(ctx context.Context, keys Keys, header string, now time.Time) (Principal, error) {
	if header == "" {
		return Principal{}, ErrNoKey
	}
	scheme, text, _ := strings.Cut(header, " ")
	id, hash, ok := parseToken(strings.TrimSpace(text))
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
	if subtle.ConstantTimeCompare(hash, key.Hash) != 1 {
		return Principal{KeyID: id}, errUnauthenticated.WithCause(errWrongSecret)
	}
	if !key.ExpireTime.IsZero() && !now.Before(key.ExpireTime) {
		return Principal{KeyID: id}, errUnauthenticated.WithCause(errExpired)
	}
	return Principal{KeyID: id, Organization: key.Organization, Role: key.Role}, nil
}
