package tenancy

import (
	"context"
	"errors"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

const (
	liveCredentialsMax = 50 // of one user at the same time
	credentialsKept    = 80 // records of one user; what ends with a user must fit into one etcd transaction
)

// NewCredential says what to issue.
type NewCredential struct {
	TTL       time.Duration // zero: the account's default
	PublicKey string        // empty: make a key pair
	Requester string        // the API key that asks
}

// Issued is an issued credential. CredsFile is empty when the caller brought
// the key.
type Issued struct {
	Credential store.Credential
	JWT        string
	CredsFile  string // secret
}

// CredentialName returns the resource name of a credential.
func CredentialName(organization string, c store.Credential) string {
	return UserName(organization, c.Account, c.User) + "/credentials/" + c.ID
}

// IssueCredential signs a JWT for a user.
func (s *Service) IssueCredential(ctx context.Context, tx *store.Tx, account, user string, in NewCredential) (Issued, error) {
	a, err := liveAccount(ctx, tx, account)
	if err != nil {
		return Issued{}, err
	}
	u, err := tx.User(ctx, account, user)
	if err != nil {
		return Issued{}, err
	}
	if u.Suspended {
		return Issued{}, errSuspendedUser(user)
	}
	r, err := tx.Revocations(ctx, account)
	if err != nil {
		return Issued{}, err
	}
	if err := makeRoom(ctx, tx, u, r.Revocations, in.PublicKey); err != nil {
		return Issued{}, err
	}
	return s.issueTo(ctx, tx, a, u, r, in)
}

func errSuspendedUser(id string) error {
	return errs.New(errs.Precondition, "USER_SUSPENDED", "the user %q is suspended", id).WithNext("resume it first")
}

// issueTo signs for a user that is there and has room.
func (s *Service) issueTo(ctx context.Context, tx *store.Tx, a store.Account, u store.User, r store.Revocations, in NewCredential) (out Issued, err error) {
	var role store.Role
	if u.Role != "" {
		if role, err = tx.Role(ctx, a.ID, u.Role); err != nil {
			return Issued{}, err
		}
	}
	if in.PublicKey != "" && r.At(in.PublicKey) >= tx.Now.Unix() {
		// Revocation has a grain of one second: what is issued now would be dead.
		return Issued{}, errs.New(errs.Unavailable, "KEY_JUST_REVOKED", "this public key was revoked a moment ago").
			WithField("public_key").WithRetry(time.Second).WithNext("try again in a second, or better use a new key pair")
	}
	return s.issue(ctx, tx, a, u, role, in)
}

// issue signs for a user that is there or about to be.
func (s *Service) issue(ctx context.Context, tx *store.Tx, a store.Account, u store.User, role store.Role, in NewCredential) (Issued, error) {
	ttl, err := credentialTTL(a, role, in.TTL)
	if err != nil {
		return Issued{}, err
	}
	public, seed, err := userKey(in.PublicKey)
	if err != nil {
		return Issued{}, err
	}
	spec := accounts.UserSpec{
		PublicKey: public, Name: u.ID, AccountKey: a.PublicKey, Permissions: u.Permissions, Limits: u.Limits, Expires: tx.Now.Add(ttl),
		Carried: u.Carried,
	}
	signer, err := s.issuer(ctx, a, u, role)
	if err != nil {
		return Issued{}, err
	}
	token, err := accounts.SignUser(spec, signer)
	if err != nil {
		return Issued{}, err
	}
	out := Issued{JWT: token.JWT, Credential: store.Credential{
		ID: accounts.NewUID(accounts.PrefixCredential, time.Now()), Account: a.ID, User: u.ID, PublicKey: public,
		TokenID: token.ID, IssuerKey: signer.PublicKey(), IssueTime: token.IssuedAt, ExpireTime: spec.Expires, Requester: in.Requester,
	}}
	if in.PublicKey == "" {
		if out.CredsFile, err = accounts.FormatCreds(token.JWT, seed); err != nil {
			return Issued{}, err
		}
	}
	if in.PublicKey == "" {
		return out, errors.Join(tx.ClaimNewKey(a.ID, u.ID, public), tx.PutCredential(out.Credential))
	}
	err = tx.ClaimKey(ctx, a.ID, u.ID, public)
	if errors.Is(err, store.ErrExists) {
		err = errs.New(errs.Exists, "PUBLIC_KEY_IN_USE", "another user of this account has this public key").
			WithField("public_key").WithNext("use a key pair of its own for every user")
	}
	if err != nil {
		return Issued{}, err
	}
	return out, tx.PutCredential(out.Credential)
}

// credentialTTL decides the life of a credential within what its role allows.
func credentialTTL(a store.Account, role store.Role, asked time.Duration) (time.Duration, error) {
	ttl, err := accounts.CredentialTTL(asked, time.Duration(a.CredentialTTLSeconds)*time.Second)
	longest := time.Duration(role.MaxTTLSeconds) * time.Second
	switch {
	case err != nil || longest == 0 || ttl <= longest:
		return ttl, err
	case asked > longest:
		return 0, errs.New(errs.Invalid, "INVALID_TTL", "credentials of the role %q live %v at most", role.Name, longest).WithField("ttl_seconds")
	}
	return longest, nil
}

// issuer opens the key that signs for a user.
func (s *Service) issuer(ctx context.Context, a store.Account, u store.User, role store.Role) (accounts.Signer, error) {
	if u.Permissions != nil {
		return s.signer(ctx, a.PublicKey, useDirect, a.SealedDirect)
	}
	key, err := activeKey(role)
	if err != nil {
		return nil, err
	}
	return s.signer(ctx, a.PublicKey, useRole+role.Name+"/"+key.PublicKey, key.SealedSeed)
}

func userKey(brought string) (string, accounts.Seed, error) {
	if brought != "" {
		return brought, accounts.Seed{}, accounts.ValidateUserKey("public_key", brought)
	}
	seed, err := accounts.NewUserKey()
	if err != nil {
		return "", accounts.Seed{}, err
	}
	public, err := seed.PublicKey()
	return public, seed, err
}

// makeRoom keeps the credentials of one user bounded: it forgets the oldest
// dead ones, and refuses when too many live. Each of the new ones is the public key
// that is about to be issued to, "" if the caller brings none.
func makeRoom(ctx context.Context, tx *store.Tx, u store.User, r accounts.Revocations, fresh ...string) error {
	issued, err := tx.AllCredentials(ctx, u.Account, u.ID)
	if err != nil {
		return err
	}
	live, renewed := 0, 0
	var dead []store.Credential // newest first
	uses := map[string]int{}
	for _, brought := range fresh {
		uses[brought]++
	}
	for _, c := range issued {
		uses[c.PublicKey]++
		switch LifeOf(c, r, tx.Now) {
		case Active:
			live++
		case Superseded:
			renewed++ // its JWT is good: its revocation needs the record
		case Expired, Revoked, IssuerRetired:
			dead = append(dead, c)
		}
	}
	if live+len(fresh) > liveCredentialsMax || live+renewed+len(fresh) > credentialsKept {
		return errs.New(errs.Exhausted, "CREDENTIAL_QUOTA", "the user %q has %d live credentials and %d renewed ones, and no more are allowed", u.ID, live, renewed).
			WithNext("revoke some, issue shorter-lived ones, or use more users")
	}
	for surplus := len(issued) + len(fresh) - credentialsKept; surplus > 0 && len(dead) > 0; surplus-- {
		oldest := dead[len(dead)-1]
		dead = dead[:len(dead)-1]
		uses[oldest.PublicKey]--
		tx.ForgetCredential(oldest, uses[oldest.PublicKey] == 0)
	}
	return nil
}

// RenewCredential signs a new JWT for the key of a credential.
func (s *Service) RenewCredential(ctx context.Context, tx *store.Tx, account, user, id, etag string, in NewCredential) (Issued, error) {
	c, err := tx.Credential(ctx, account, user, id)
	if err != nil {
		return Issued{}, err
	}
	if err := checkEtag(etag, c.Revision); err != nil {
		return Issued{}, err
	}
	r, err := tx.Revocations(ctx, account)
	if err != nil {
		return Issued{}, err
	}
	if LifeOf(c, r.Revocations, tx.Now) == Revoked {
		return Issued{}, errs.New(errs.Precondition, "CREDENTIAL_REVOKED", "the credential %q is revoked", id).WithNext("issue one with a new key")
	}
	in.PublicKey = c.PublicKey
	out, err := s.IssueCredential(ctx, tx, account, user, in)
	if err != nil {
		return Issued{}, err
	}
	c.Superseded = true
	return out, tx.PutCredential(c)
}

// CredentialChange is a credential as a change leaves it.
type CredentialChange struct {
	Credential store.Credential
	Operation  store.Operation
}

// RevokeCredential refuses a credential from now on. Its key pair goes with
// it: other credentials issued to the same public key so far are refused too.
func (s *Service) RevokeCredential(ctx context.Context, tx *store.Tx, method, account, user, id, etag string) (CredentialChange, error) {
	c, err := tx.Credential(ctx, account, user, id)
	if err != nil {
		return CredentialChange{}, err
	}
	if err := checkEtag(etag, c.Revision); err != nil {
		return CredentialChange{}, err
	}
	r, err := tx.Revocations(ctx, account)
	if err != nil {
		return CredentialChange{}, err
	}
	siblings, err := tx.AllCredentials(ctx, account, user)
	if err != nil {
		return CredentialChange{}, err
	}
	var dead []store.Credential
	for _, other := range siblings {
		if other.PublicKey == c.PublicKey {
			dead = append(dead, other)
		}
	}
	if c.RevokeTime.IsZero() {
		c.RevokeTime = tx.Now
	}
	if err := tx.PutCredential(c); err != nil {
		return CredentialChange{}, err
	}
	operation, err := s.revoke(ctx, tx, method, CredentialName(tx.Organization(), c), account, r, dead)
	return CredentialChange{Credential: c, Operation: operation}, err
}

// revoke puts credentials on the account's list and publishes it.
func (s *Service) revoke(ctx context.Context, tx *store.Tx, method, target, account string, r store.Revocations, dead []store.Credential) (store.Operation, error) {
	a, err := tx.Account(ctx, account)
	if err != nil {
		return store.Operation{}, err
	}
	roles, err := tx.Roles(ctx, account)
	if err != nil {
		return store.Operation{}, err
	}
	for _, c := range dead {
		issued := c.IssueTime.Unix()
		r.Revocations = r.With(accounts.Revocation{
			PublicKey: c.PublicKey, At: max(tx.Now.Unix(), issued), Issued: issued, Until: c.Lapse(),
		})
	}
	if r.Revocations, err = s.compact(ctx, tx, account, r.Revocations); err != nil {
		return store.Operation{}, err
	}
	if err := tx.PutRevocations(account, r); err != nil {
		return store.Operation{}, err
	}
	return s.publish(ctx, tx, method, target, a, roles, r)
}

// compact bounds a revocation list; only a long one needs to know what else
// is out.
func (s *Service) compact(ctx context.Context, tx *store.Tx, account string, r accounts.Revocations) (accounts.Revocations, error) {
	oldestGood := tx.Now.Unix()
	if len(r.Entries) > accounts.RevocationsFoldAbove {
		issued, err := tx.AccountCredentials(ctx, account)
		if err != nil {
			return r, err
		}
		for _, c := range issued {
			if LifeOf(c, r, tx.Now).good() {
				oldestGood = min(oldestGood, c.IssueTime.Unix())
			}
		}
	}
	out, hurt := r.Compact(tx.Now, oldestGood)
	if hurt {
		s.log.WarnContext(ctx, "revocation list full: old credentials that were not revoked are refused too",
			"organization", tx.Organization(), "account", account, "issued_up_to", time.Unix(out.CutOff, 0).UTC())
	}
	return out, nil
}
