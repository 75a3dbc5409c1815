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
	keysLiveMax = 2 // of one holder: one, and the one that takes over
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
	return HolderName(k.Organization, k.Holder()) + "/apiKeys/" + k.ID
}

// HolderName returns the resource name of who holds a key; none for an
// operator.
func HolderName(organization string, h store.Holder) string {
	switch {
	case h.Member != "":
		return MemberName(organization, h.Member)
	case h.ServiceAccount != "":
		return ServiceAccountName(organization, h.ServiceAccount)
	}
	return ""
}

// CreateKey makes an API key of a service account, or of the member that calls.
func (s *Service) CreateKey(ctx context.Context, tx *store.Tx, by Caller, h store.Holder, in NewKey) (MadeKey, error) {
	if err := by.mayTouch(ctx, tx, h); err != nil {
		return MadeKey{}, err
	}
	if err := by.mayMakeKey(h); err != nil {
		return MadeKey{}, err
	}
	return makeKey(ctx, tx, by, h, in)
}

// mayMakeKey refuses keys of members to others: with one they would act in the
// member's name.
func (by Caller) mayMakeKey(h store.Holder) error {
	if h.Member != "" && by.Holder != h {
		return errs.New(errs.Denied, "MEMBER_KEY", "only the member %q itself may make keys for it", h.Member).
			WithNext("make a key for a service account, or remove the member and invite it again")
	}
	return nil
}

func makeKey(ctx context.Context, tx *store.Tx, by Caller, h store.Holder, in NewKey) (MadeKey, error) {
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
	keys, gone, err := makeKeyRoom(ctx, tx, h)
	if err != nil {
		return MadeKey{}, err
	}
	token, id, hash := authn.NewToken(time.Now())
	k := store.APIKey{
		ID: id, Hash: hash, Organization: tx.Organization(), ServiceAccount: h.ServiceAccount, Member: h.Member, DisplayName: in.DisplayName,
		Requester: by.Key, CreateTime: tx.Now, ExpireTime: tx.Now.Add(in.TTL),
	}
	if err := tx.CreateAPIKey(ctx, k); err != nil {
		return MadeKey{}, err
	}
	return MadeKey{Key: k, Token: token}, tx.PutKeys(h, append(keys, k), gone)
}

// makeKeyRoom keeps the keys of a holder bounded: it returns those
// that stay and the oldest expired ones, which go, and refuses when too many
// live.
func makeKeyRoom(ctx context.Context, tx *store.Tx, h store.Holder) (keys, gone []store.APIKey, err error) {
	all, err := tx.Keys(ctx, h)
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
		return nil, nil, errs.New(errs.Exhausted, "API_KEY_QUOTA", "%s has %d keys that have not expired, and no more are allowed", HolderName(tx.Organization(), h), live).
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
func (s *Service) RotateKey(ctx context.Context, tx *store.Tx, by Caller, h store.Holder, id, etag string, overlap *time.Duration, ttl time.Duration) (MadeKey, error) {
	old, err := by.key(ctx, tx, h, id, etag)
	if err != nil {
		return MadeKey{}, err
	}
	if err := by.mayMakeKey(h); err != nil {
		return MadeKey{}, err
	}
	if old.Disabled || KeyExpired(old, tx.Now) {
		return MadeKey{}, errs.New(errs.Precondition, "API_KEY_NOT_ACTIVE", "the key %q is disabled or expired", id).
			WithNext("make a new one instead")
	}
	made, err := makeKey(ctx, tx, by, h, NewKey{DisplayName: old.DisplayName, TTL: ttl})
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
func (s *Service) SetKeyDisabled(ctx context.Context, tx *store.Tx, by Caller, h store.Holder, id, etag string, disabled bool) (store.APIKey, error) {
	k, err := by.key(ctx, tx, h, id, etag)
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
func (s *Service) DeleteKey(ctx context.Context, tx *store.Tx, by Caller, h store.Holder, id, etag string) error {
	k, err := by.key(ctx, tx, h, id, etag)
	if err != nil {
		return err
	}
	if k.ID == by.Key {
		return errOwnKey
	}
	keys, err := tx.Keys(ctx, h)
	if err != nil {
		return err
	}
	keep := slices.DeleteFunc(keys, func(other store.APIKey) bool { return other.ID == id })
	return tx.PutKeys(h, keep, []store.APIKey{k})
}

var errOwnKey = errs.New(errs.Precondition, "OWN_API_KEY", "a key cannot end or disable itself").
	WithNext("use another key; or rotate this one")

// key reads a key that the caller may change.
func (by Caller) key(ctx context.Context, tx *store.Tx, h store.Holder, id, etag string) (store.APIKey, error) {
	k, err := tx.Key(ctx, h, id)
	if err != nil {
		return store.APIKey{}, err
	}
	if err := checkEtag(etag, k.Revision); err != nil {
		return store.APIKey{}, err
	}
	return k, by.mayTouch(ctx, tx, h)
}
