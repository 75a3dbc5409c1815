package accounts

import (
	"slices"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/internal/errs"
)

// Callout lets a service decide who connects to an account. Servers ask it
// about everybody but the users named here, of whom one is the service itself.
type Callout struct {
	Users    []string `json:"users"`              // public user keys
	Accounts []string `json:"accounts,omitempty"` // public keys of further accounts that it may put users into
	XKey     string   `json:"xkey,omitempty"`     // public curve key that requests are encrypted for
	Issuers  []string `json:"issuers,omitempty"`  // public account keys, held by the service, that sign what it answers
}

const calloutKeysMax = 32 // of each kind; they travel in the account's claims

// anyAccount is how claims say that users may be put into every account.
const anyAccount = jwt.AnyAccount

// Validate checks the form of every key.
func (c Callout) Validate(field string) error {
	if len(c.Users) == 0 {
		return badCallout("nobody may answer").WithField(field + ".user_public_keys").WithNext("name the public key that the service connects with")
	}
	for _, l := range []struct {
		name  string
		keys  []string
		valid func(string) bool
	}{
		{"user_public_keys", c.Users, nkeys.IsValidPublicUserKey},
		{"allowed_account_public_keys", c.Accounts, nkeys.IsValidPublicAccountKey},
		{"issuer_public_keys", c.Issuers, nkeys.IsValidPublicAccountKey},
	} {
		if len(l.keys) > calloutKeysMax {
			return badCallout("%d keys are more than %d", len(l.keys), calloutKeysMax).WithField(field + "." + l.name)
		}
		for i, key := range l.keys {
			switch {
			case key == anyAccount:
				return badCallout("a service cannot put users into every account").WithField(field + "." + l.name).WithNext("name the accounts by their public keys")
			case !l.valid(key):
				return badCallout("%q is not a public key of the right kind", key).WithField(field + "." + l.name)
			case slices.Contains(l.keys[:i], key):
				return badCallout("the key %s is there twice", key).WithField(field + "." + l.name)
			}
		}
	}
	if c.XKey != "" && !nkeys.IsValidPublicCurveKey(c.XKey) {
		return badCallout("%q is not a public curve key", c.XKey).WithField(field + ".xkey").WithNext("a public curve key is 56 characters and begins with X")
	}
	return nil
}

// Equal reports whether both say the same; nil is no service.
func (c *Callout) Equal(other *Callout) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.XKey == other.XKey && slices.Equal(c.Users, other.Users) && slices.Equal(c.Accounts, other.Accounts) && slices.Equal(c.Issuers, other.Issuers)
}

// claims puts the service into an account's claims.
func (c *Callout) claims(claims *jwt.AccountClaims) {
	if c == nil {
		return
	}
	claims.Authorization = jwt.ExternalAuthorization{
		AuthUsers: slices.Clone(jwt.StringList(c.Users)), AllowedAccounts: slices.Clone(jwt.StringList(c.Accounts)), XKey: c.XKey,
	}
	for _, key := range c.Issuers {
		claims.SigningKeys.Add(key)
	}
}

// readCallout takes the service out of claims that were made elsewhere. Who
// signs its answers is among the account's signing keys.
func (spec *AccountSpec) readCallout(a *jwt.Account) {
	if a.HasExternalAuthorization() {
		spec.Callout = &Callout{Users: a.Authorization.AuthUsers, Accounts: a.Authorization.AllowedAccounts, XKey: a.Authorization.XKey}
	}
	a.Authorization = jwt.ExternalAuthorization{}
}

func badCallout(format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "INVALID_AUTH_CALLOUT", format, args...)
}
