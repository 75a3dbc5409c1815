package accounts

import (
	"time"

	"github.com/coveymq/covey/internal/errs"
)

const (
	// CredentialTTLDefault is how long a credential lives when neither its
	// issuer nor its account says: a quarter of a year.
	CredentialTTLDefault = 90 * 24 * time.Hour
	// CredentialTTLMax is the longest life of a credential: ten years.
	CredentialTTLMax = 3650 * 24 * time.Hour
)

// CredentialTTL decides the life of a credential: what its issuer asks, else
// the account's default, else CredentialTTLDefault. Zero means "says nothing".
func CredentialTTL(asked, accountDefault time.Duration) (time.Duration, error) {
	ttl := asked
	if ttl == 0 {
		ttl = accountDefault
	}
	if ttl == 0 {
		ttl = CredentialTTLDefault
	}
	if err := ValidateTTL("ttl_seconds", ttl); err != nil {
		return 0, err
	}
	return ttl, nil
}

// ValidateTTL checks a credential life; zero is allowed and means "default".
func ValidateTTL(field string, ttl time.Duration) error {
	if ttl == 0 || ttl >= time.Second && ttl <= CredentialTTLMax {
		return nil
	}
	return errs.New(errs.Invalid, "INVALID_TTL", "a credential cannot live %s", ttl).
		WithField(field).WithNext("use 1 second to %d seconds (ten years), or 0 for the default", int64(CredentialTTLMax/time.Second))
}
