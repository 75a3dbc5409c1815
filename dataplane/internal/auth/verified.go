package auth

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/effort"
	"github.com/coveymq/covey/dataplane/internal/permission"
)

// user is a verified user JWT. Immutable, and shared by all that show it.
type user struct {
	account             string // public key
	subject, name       string
	tags                []string
	issuer              string
	issuedAt, validFrom int64
	claimed             account.Claimed
}

// verifiedMax is how many user JWTs are remembered, of about 1 KB each.
const verifiedMax = 8192

// verified remembers the user JWTs that were verified, by the hash of all their
// bytes, so that one that is shown again and again costs one verification. What
// is verified is what does not change: that the JWT is well-formed and that the
// key it names signed it. The least recently shown is forgotten first.
type verified struct {
	most int // immutable

	mu     sync.Mutex
	byHash map[[sha256.Size]byte]*list.Element // guarded by mu, as is all below
	recent list.List                           // of *remembered; the most recent first
}

type remembered struct {
	hash [sha256.Size]byte
	user *user
}

func newVerified(most int) *verified {
	return &verified{most: most, byHash: make(map[[sha256.Size]byte]*list.Element)}
}

// user verifies a JWT, or finds that it was.
func (v *verified) user(token string) (*user, *account.Refusal) {
	hash := hashOf(token)
	if u := v.find(hash); u != nil {
		return u, nil
	}
	var u *user
	var r *account.Refusal
	effort.Signatures.Do(func() { u, r = verify(token) }) // with no lock held
	if r == nil {
		v.add(hash, u)
	}
	return u, r
}

func (v *verified) find(hash [sha256.Size]byte) *user {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.byHash[hash]
	if e == nil {
		return nil
	}
	v.recent.MoveToFront(e)
	return e.Value.(*remembered).user //nolint:errcheck // see recent
}

func (v *verified) add(hash [sha256.Size]byte, u *user) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.byHash[hash] != nil {
		return // somebody else verified it meanwhile
	}
	v.byHash[hash] = v.recent.PushFront(&remembered{hash, u})
	if len(v.byHash) > v.most {
		last := v.recent.Back()
		delete(v.byHash, v.recent.Remove(last).(*remembered).hash) //nolint:errcheck // see recent
	}
}

func verify(token string) (*user, *account.Refusal) {
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return nil, account.Violation("malformed user JWT: " + firstLine(err))
	}
	return compile(claims)
}

// compile makes a user of claims that are signed by whom they say.
func compile(claims *jwt.UserClaims) (*user, *account.Refusal) {
	if err := checkClaims(claims); err != nil {
		return nil, account.Violation("invalid user JWT: " + firstLine(err))
	}
	quotas, err := accounts.ParseUserQuotaTags(claims.Tags)
	if err != nil {
		return nil, account.Violation("invalid user JWT: " + firstLine(err))
	}
	return &user{
		account: accountOf(claims), subject: claims.Subject, name: claims.Name, tags: claims.Tags,
		issuer: claims.Issuer, issuedAt: claims.IssuedAt, validFrom: claims.NotBefore,
		claimed: account.Claimed{
			Rules: account.NewRules(&claims.UserPermissionLimits), Permissions: permission.New(&claims.Permissions),
			Expires: claims.Expires, Blank: claims.HasEmptyPermissions(), Quotas: quotas,
		},
	}, nil
}

func (u *user) checkTimes(now time.Time) *account.Refusal {
	switch {
	case u.claimed.Expires != 0 && now.Unix() >= u.claimed.Expires:
		r := *account.UserExpired
		r.Log = "the user's credential expired at " + time.Unix(u.claimed.Expires, 0).UTC().Format(time.RFC3339)
		return &r
	case u.validFrom > now.Unix():
		return account.Violation("the user's credential is not valid before " + time.Unix(u.validFrom, 0).UTC().Format(time.RFC3339))
	}
	return nil
}

func hashOf(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }
