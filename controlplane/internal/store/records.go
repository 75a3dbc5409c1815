package store

import (
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/audit"
)

// Installation is what makes this control plane itself: its trust root and its
// system account. Seeds are sealed.
type Installation struct {
	Stored

	ID            string    `json:"id"` // a UID that never changes
	RootKey       string    `json:"root_key"`
	SealedRoot    []byte    `json:"sealed_root"` // none when it is kept offline
	SigningKey    string    `json:"signing_key"` // the active one
	SealedSigning []byte    `json:"sealed_signing"`
	SystemAccount string    `json:"system_account"`
	SealedSystem  []byte    `json:"sealed_system"`
	CreateTime    time.Time `json:"create_time"`

	// Keys are the operator's signing keys, oldest first; none as long as there
	// was only the one.
	Keys []OperatorSigningKey `json:"keys,omitempty"`
}

// Organization is a tenant.
type Organization struct {
	Stored

	ID           string    `json:"id"`
	UID          string    `json:"uid"`
	DisplayName  string    `json:"display_name"`
	ContactEmail string    `json:"contact_email"`
	CreateTime   time.Time `json:"create_time"`
	UpdateTime   time.Time `json:"update_time"`

	// The operator's staff suspended it, with all its accounts.
	Suspended     bool      `json:"suspended,omitempty"`
	SuspendReason string    `json:"suspend_reason,omitempty"`
	SuspendTime   time.Time `json:"suspend_time,omitzero"`

	// It was closed, and ends at its purge time; it has ended.
	CloseTime time.Time `json:"close_time,omitzero"`
	PurgeTime time.Time `json:"purge_time,omitzero"`
	Ended     bool      `json:"ended,omitempty"`
}

// Account is a NATS account. Seeds are sealed.
type Account struct {
	Stored

	ID                   string          `json:"id"`
	UID                  string          `json:"uid"`
	DisplayName          string          `json:"display_name,omitempty"`
	PublicKey            string          `json:"public_key"`
	SealedSeed           []byte          `json:"sealed_seed"`
	DirectKey            string          `json:"direct_key"` // unscoped signing key
	SealedDirect         []byte          `json:"sealed_direct"`
	Limits               accounts.Limits `json:"limits"`
	Suspended            bool            `json:"suspended,omitempty"`
	CredentialTTLSeconds int64           `json:"credential_ttl_seconds,omitempty"`
	DeleteProtection     bool            `json:"delete_protection,omitempty"`
	CreateTime           time.Time       `json:"create_time"`
	UpdateTime           time.Time       `json:"update_time"`

	AuthCallout *accounts.Callout `json:"auth_callout,omitempty"`

	Overrides accounts.Overrides `json:"overrides,omitempty"` // the operator's, of its limits

	Carried   accounts.Carried `json:"carried,omitempty"`    // what its claims say that no field here does
	OtherKeys []SigningKey     `json:"other_keys,omitempty"` // unscoped too, and sign nothing here

	DeleteTime time.Time `json:"delete_time,omitzero"` // zero unless it is deleted
	PurgeTime  time.Time `json:"purge_time,omitzero"`
	Purging    bool      `json:"purging,omitempty"` // its end has begun; there is no way back

	ClaimsRevision int64 `json:"-"` // of the claims in force
}

// Deleted reports whether the account is deleted and waits for its end.
func (a Account) Deleted() bool { return !a.DeleteTime.IsZero() }

// KeyState is where a signing key is in its life.
type KeyState string

// The states of a signing key, in their order.
const (
	KeyStaged     KeyState = "staged"      // brokers know it; it signs nothing yet
	KeyActive     KeyState = "active"      // it signs
	KeyVerifyOnly KeyState = "verify-only" // it signs no more; what it signed is good
	KeyRetired    KeyState = "retired"     // what it signed is refused; its seed is gone
)

// SigningKey is one key of a role. Its seed is sealed.
type SigningKey struct {
	PublicKey   string    `json:"public_key"`
	SealedSeed  []byte    `json:"sealed_seed,omitempty"` // none once retired
	State       KeyState  `json:"state"`
	Operation   string    `json:"operation,omitempty"` // that told brokers of a staged key
	CreateTime  time.Time `json:"create_time"`
	PromoteTime time.Time `json:"promote_time,omitzero"`
	RetireTime  time.Time `json:"retire_time,omitzero"`
}

// Role is a signing key group of an account.
type Role struct {
	Stored

	Name          string               `json:"name"`
	DisplayName   string               `json:"display_name,omitempty"`
	Permissions   accounts.Permissions `json:"permissions"`
	MaxTTLSeconds int64                `json:"max_ttl_seconds,omitempty"` // of its credentials; 0 is no bound
	Limits        accounts.Limits      `json:"limits,omitzero"`           // of each of its users
	Keys          []SigningKey         `json:"keys"`                      // oldest first; exactly one is active
	Carried       accounts.Carried     `json:"carried,omitempty"`
	CreateTime    time.Time            `json:"create_time"`
	UpdateTime    time.Time            `json:"update_time"`
}

// User is an identity inside an account.
type User struct {
	Stored

	ID          string                `json:"id"`
	UID         string                `json:"uid"`
	Account     string                `json:"account"`
	DisplayName string                `json:"display_name,omitempty"`
	Role        string                `json:"role,omitempty"`
	Permissions *accounts.Permissions `json:"permissions,omitempty"` // only without a role
	Limits      accounts.Limits       `json:"limits,omitzero"`
	Carried     accounts.Carried      `json:"carried,omitempty"`
	Suspended   bool                  `json:"suspended,omitempty"`
	CreateTime  time.Time             `json:"create_time"`
	UpdateTime  time.Time             `json:"update_time"`
}

// Credential is one issued user JWT, without the JWT.
type Credential struct {
	Stored

	ID         string    `json:"id"`
	Account    string    `json:"account"`
	User       string    `json:"user"`
	PublicKey  string    `json:"public_key"`
	TokenID    string    `json:"token_id"`
	IssuerKey  string    `json:"issuer_key"`
	IssueTime  time.Time `json:"issue_time"`
	ExpireTime time.Time `json:"expire_time"` // zero is never: only of what was taken over
	RevokeTime time.Time `json:"revoke_time,omitzero"`
	Superseded bool      `json:"superseded,omitempty"` // renewed; its own JWT is good until it expires
	Requester  string    `json:"requester"`

	SeenTime time.Time `json:"-"` // when a client was last connected with it; kept apart
}

// clocksApart is how far clocks of control planes and brokers may be apart without
// harm: for so long something is still refused that has expired by our clock.
const clocksApart = time.Hour

// Lapse is the second at which nothing of the credential can be good any more,
// whoever's clock says so.
func (c Credential) Lapse() int64 {
	if c.ExpireTime.IsZero() {
		return accounts.Never
	}
	return c.ExpireTime.Add(clocksApart).Unix()
}

// Revocations is what an account refuses. What is refused only as long as a
// user is suspended is apart: it is never folded, and goes when the user
// resumes.
type Revocations struct {
	Stored
	accounts.Revocations

	Suspended map[string][]accounts.Revocation `json:"suspended,omitempty"` // by user
}

// All returns everything that brokers are to refuse.
func (r Revocations) All() accounts.Revocations {
	all := r.Revocations
	for _, entries := range r.Suspended {
		for _, e := range entries {
			all = all.With(e)
		}
	}
	return all
}

// purgeRef says which account a purge time is of.
type purgeRef struct {
	Stored
	Organization string `json:"organization"`
	Account      string `json:"account"`
}

// RoleBinding lets its holder act in a role, on one account or, with none, on
// the whole organization.
type RoleBinding struct {
	Role    string `json:"role"`
	Account string `json:"account,omitempty"`
}

// ServiceAccount is somebody who calls the API.
type ServiceAccount struct {
	Stored

	ID          string        `json:"id"`
	UID         string        `json:"uid"`
	DisplayName string        `json:"display_name,omitempty"`
	Bindings    []RoleBinding `json:"bindings,omitempty"`
	Disabled    bool          `json:"disabled,omitempty"`
	CreateTime  time.Time     `json:"create_time"`
	UpdateTime  time.Time     `json:"update_time"`
}

// APIKey is what is known of an API key: never its secret. One of an
// organization belongs to a service account or a member and has its role
// bindings; one of the operator has a role of its own.
type APIKey struct {
	Stored

	ID             string    `json:"id"`
	Hash           []byte    `json:"hash"`                   // SHA-256 of the secret
	Organization   string    `json:"organization,omitempty"` // none for an operator's
	ServiceAccount string    `json:"service_account,omitempty"`
	Member         string    `json:"member,omitempty"`
	Role           string    `json:"role,omitempty"`
	DisplayName    string    `json:"display_name,omitempty"`
	Disabled       bool      `json:"disabled,omitempty"`
	Requester      string    `json:"requester,omitempty"`
	CreateTime     time.Time `json:"create_time"`
	ExpireTime     time.Time `json:"expire_time,omitzero"`

	UseTime time.Time `json:"-"` // when it was last accepted; kept apart

	read *View // by which it was read, to find its holder as of then
}

// keyUse is when an API key was last accepted.
type keyUse struct {
	Stored
	Time time.Time `json:"time"`
}

// keyIDs is the API keys of one holder, oldest first.
type keyIDs struct {
	Stored
	IDs []string `json:"ids"`
}

// Operation is a change on its way to the brokers. Its revision is that of the
// record itself, which is also that of the claims.
type Operation struct {
	Stored

	ID         string    `json:"id"`
	Method     string    `json:"method"`
	Target     string    `json:"target"`
	CreateTime time.Time `json:"create_time"`
	Spreading  bool      `json:"spreading,omitempty"` // claims of further accounts follow; its revision is not its last
}

// AccountRef says whose an account key is, also after the account's end.
type AccountRef struct {
	Stored

	Organization string    `json:"organization,omitempty"` // none for the system account
	Account      string    `json:"account"`
	UID          string    `json:"uid"`
	PublicKey    string    `json:"public_key"`
	DeleteTime   time.Time `json:"delete_time,omitzero"`
}

// keyOwner says which user of an account holds a public user key.
type keyOwner struct {
	Stored
	User string `json:"user"`
}

type auditHead struct {
	Stored
	audit.Head
}

// AuditEntry is an audit entry as it is kept.
type AuditEntry struct {
	Stored
	audit.Entry
}

type requestRecord struct {
	Stored
	Attempt     string  `json:"attempt"`
	Method      string  `json:"method,omitempty"`
	Fingerprint []byte  `json:"fingerprint,omitempty"`
	Outcome     Outcome `json:"outcome,omitzero"`
}
