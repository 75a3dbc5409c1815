package tenancy

import (
	"context"
	"slices"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

const (
	keysLiveMax = 2 // of one service account: one, and the one that takes over
	keysKept    = 6 // with expired ones

	keyTTLDefault     = 90 * 24 * time.Hour
	keyTTLMax         = 366 * 24 * time.Hour
	keyOverlapDefault = 24 * time.Hour
)

// NewKey says which API key to make.
type NewKey struct {
	DisplayName string
	TTL         time.Duration // zero: keyTTLDefault
}

// MadeKey is a new API key. Rotated is the key that it takes over from, if any.
type MadeKey struct {
	Key     store.APIKey
	Token   authn.Token // secret
	Rotated store.APIKey
}

// KeyName returns the resource name of an API key.
func KeyName(k store.APIKey) string {
	return ServiceAccountName(k.Organization, k.ServiceAccount) + "/apiKeys/" + k.ID
}

// CreateKey makes an API key of a service account.
func (s *Service) CreateKey(ctx context.Context, tx *store.Tx, by Caller, serviceAccount string, in NewKey) (MadeKey, error) {
	if err := by.mayTouch(ctx, tx, serviceAccount); err != nil {
		return MadeKey{}, err
	}
	return makeKey(ctx, tx, by, serviceAccount, in)
}

func makeKey(ctx context.Context, tx *store.Tx, by Caller, serviceAccount string, in NewKey) (MadeKey, error) {
	if err := accounts.ValidateDisplayName("display_name", in.DisplayName); err != nil {
		return MadeKey{}, err
	}
	if in.TTL == 0 {
		in.TTL = keyTTLDefault
	}
	if in.TTL < time.Second || in.TTL > keyTTLMax {
		return MadeKey{}, errs.New(errs.Invalid, "INVALID_TTL", "an API key lives between a second and %d days", keyTTLMax/(24*time.Hour)).
			WithField("ttl_seconds")
	}
	keys, gone, err := makeKeyRoom(ctx, tx, serviceAccount)
	if err != nil {
		return MadeKey{}, err
	}
	token, id, hash := authn.NewToken(time.Now())
	k := store.APIKey{
		ID: id, Hash: hash, Organization: tx.Organization(), ServiceAccount: serviceAccount, DisplayName: in.DisplayName,
		Requester: by.Key, CreateTime: tx.Now, ExpireTime: tx.Now.Add(in.TTL),
	}
	if err := tx.CreateAPIKey(ctx, k); err != nil {
		return MadeKey{}, err
	}
	return MadeKey{Key: k, Token: token}, tx.PutKeys(serviceAccount, append(keys, k), gone)
}

// makeKeyRoom keeps the keys of a service account bounded: it returns those
// that stay and the oldest expired ones, which go, and refuses when too many
// live.
func makeKeyRoom(ctx context.Context, tx *store.Tx, serviceAccount string) (keys, gone []store.APIKey, err error) {
	all, err := tx.Keys(ctx, serviceAccount)
	if err != nil {
		return nil, nil, err
	}
	live := 0
	for _, k := range all {
		switch expired := KeyExpired(k, tx.Now); {
		case expired && len(all)-len(gone) >= keysKept:
			gone = append(gone, k)
			continue
		case !expired:
			live++
		}
		keys = append(keys, k)
	}
	if live >= keysLiveMax {
		return nil, nil, errs.New(errs.Exhausted, "API_KEY_QUOTA", "the service account %q has %d keys that have not expired, and no more are allowed", serviceAccount, live).
			WithNext("delete one, let one expire, or use another service account")
	}
	return keys, gone, nil
}

// KeyExpired reports whether a key's time is over.
func KeyExpired(k store.APIKey, now time.Time) bool {
	return !k.ExpireTime.IsZero() && !now.Before(k.ExpireTime)
}

// RotateKey makes a successor of a key, which itself ends after the overlap:
// nil means keyOverlapDefault.
func (s *Service) RotateKey(ctx context.Context, tx *store.Tx, by Caller, serviceAccount, id, etag string, overlap *time.Duration, ttl time.Duration) (MadeKey, error) {
	old, err := by.key(ctx, tx, serviceAccount, id, etag)
	if err != nil {
		return MadeKey{}, err
	}
	if old.Disabled || KeyExpired(old, tx.Now) {
		return MadeKey{}, errs.New(errs.Precondition, "API_KEY_NOT_ACTIVE", "the key %q is disabled or expired", id).
			WithNext("make a new one instead")
	}
	made, err := makeKey(ctx, tx, by, serviceAccount, NewKey{DisplayName: old.DisplayName, TTL: ttl})
	if err != nil {
		return MadeKey{}, err
	}
	left := keyOverlapDefault
	if overlap != nil {
		left = *overlap
	}
	if end := tx.Now.Add(left); old.ExpireTime.IsZero() || end.Before(old.ExpireTime) {
		old.ExpireTime = end
	}
	made.Rotated = old
	return made, tx.PutAPIKey(old)
}

// SetKeyDisabled refuses a key, or accepts it again.
func (s *Service) SetKeyDisabled(ctx context.Context, tx *store.Tx, by Caller, serviceAccount, id, etag string, disabled bool) (store.APIKey, error) {
	k, err := by.key(ctx, tx, serviceAccount, id, etag)
	if err != nil {
		return store.APIKey{}, err
	}
	if disabled && k.ID == by.Key {
		return store.APIKey{}, errOwnKey
	}
	k.Disabled = disabled
	return k, tx.PutAPIKey(k)
}

// DeleteKey ends a key.
func (s *Service) DeleteKey(ctx context.Context, tx *store.Tx, by Caller, serviceAccount, id, etag string) error {
	k, err := by.key(ctx, tx, serviceAccount, id, etag)
	if err != nil {
		return err
	}
	if k.ID == by.Key {
		return errOwnKey
	}
	keys, err := tx.Keys(ctx, serviceAccount)
	if err != nil {
		return err
	}
	keep := slices.DeleteFunc(keys, func(other store.APIKey) bool { return other.ID == id })
	return tx.PutKeys(serviceAccount, keep, []store.APIKey{k})
}

var errOwnKey = errs.New(errs.Precondition, "OWN_API_KEY", "a key cannot end or disable itself").
	WithNext("use another key; or rotate this one")

// key reads a key that the caller may change.
func (by Caller) key(ctx context.Context, tx *store.Tx, serviceAccount, id, etag string) (store.APIKey, error) {
	k, err := tx.Key(ctx, serviceAccount, id)
	if err != nil {
		return store.APIKey{}, err
	}
	if err := checkEtag(etag, k.Revision); err != nil {
		return store.APIKey{}, err
	}
	return k, by.mayTouch(ctx, tx, serviceAccount)
}
