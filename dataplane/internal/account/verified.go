package account

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/effort"
)

// verifiedMax is how many account claims are remembered as verified, in about 50
// bytes each.
const verifiedMax = 1 << 16

// Verified remembers by their hash which account claims were verified: that they
// are well-formed and that the key they name signed them, which does not change.
// Claims that come again, because the account was evicted or because the
// configuration carries them, are then read but not verified, which is most of
// the work. Who signs for the operator is not its concern. A nil Verified
// remembers nothing.
type Verified struct {
	mu   sync.Mutex
	seen map[[sha256.Size]byte]bool // whether they were found possible as well; guarded by mu
}

// Claims verifies account claims, or reads those that were verified before.
func (v *Verified) Claims(token string) (*jwt.AccountClaims, error) {
	if v == nil {
		return jwt.DecodeAccountClaims(token)
	}
	hash := sha256.Sum256([]byte(token))
	if v.has(hash) {
		if claims := read(token); claims != nil {
			return claims, nil
		}
	}
	var claims *jwt.AccountClaims
	var err error
	effort.Signatures.Do(func() { claims, err = jwt.DecodeAccountClaims(token) }) // with no lock held
	if err == nil {
		v.note(hash, false)
	}
	return claims, err
}

// possible is valid for claims that Claims returned of a token, which it remembers: the
// library compares each import and each export with every other.
func (v *Verified) possible(token string, claims *jwt.AccountClaims) error {
	if v == nil {
		return valid(claims)
	}
	hash := sha256.Sum256([]byte(token))
	v.mu.Lock()
	known := v.seen[hash]
	v.mu.Unlock()
	if known {
		return nil
	}
	err := valid(claims) // with no lock held
	if err == nil {
		v.note(hash, true)
	}
	return err
}

func (v *Verified) has(hash [sha256.Size]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.seen[hash]
	return ok
}

// note remembers claims. One at random is forgotten when there are too many.
func (v *Verified) note(hash [sha256.Size]byte, possible bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.seen == nil {
		v.seen = make(map[[sha256.Size]byte]bool)
	}
	for old := range v.seen {
		if len(v.seen) < verifiedMax {
			break
		}
		delete(v.seen, old)
	}
	v.seen[hash] = v.seen[hash] || possible
}

// Len returns how many claims are remembered.
func (v *Verified) Len() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.seen)
}

// header is that of all claims of the version that is in use, as it is encoded.
var header = base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"` + jwt.AlgorithmNkey + `"}`)) //nolint:gochecknoglobals // constant

// version of claims that read knows; others the library has to migrate.
const version = 2

// read does what the library does with claims of the usual form, short of
// verifying them. It returns nil for others.
func read(token string) *jwt.AccountClaims {
	head, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	data, err := base64.RawURLEncoding.DecodeString(payload)
	if head != header || err != nil {
		return nil
	}
	claims := &jwt.AccountClaims{}
	claims.SigningKeys = make(jwt.SigningKeys)
	if json.Unmarshal(data, claims) != nil || claims.Version != version || claims.Type != jwt.AccountClaim {
		return nil
	}
	if len(claims.Limits.JetStreamTieredLimits) > 0 {
		claims.Limits.JetStreamLimits = jwt.JetStreamLimits{}
	}
	return claims
}
