package fleet

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/internal/errs"
)

const (
	joinTokenPrefix = "coveyjoin_"
	// joinPartLen is the length of 32 bytes in unpadded base64url.
	joinPartLen = 43
	// joinTokenLifeMax bounds how long a token may lie about.
	joinTokenLifeMax = 24 * time.Hour
	// joinTokenLifeMin is what etcd can count and a person can paste.
	joinTokenLifeMin = 10 * time.Second
)

// JoinToken lets one broker enrol, once:
// coveyjoin_<SHA-256 of the fleet CA's certificate>_<secret>, both parts 32 bytes
// in base64url. It prints itself redacted.
type JoinToken string

// Reveal returns the token's text.
func (t JoinToken) Reveal() string { return string(t) }

// String hides the secret.
func (JoinToken) String() string { return joinTokenPrefix + "[redacted]" }

// GoString hides the secret.
func (t JoinToken) GoString() string { return t.String() }

// LogValue hides the secret.
func (t JoinToken) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON hides the secret.
func (t JoinToken) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// storedToken is the JSON value of a join token's key. A token that was used
// stays until its lease ends, so that the broker whose answer got lost can ask
// again with the same key pair.
type storedToken struct {
	CreatedAt time.Time `json:"created_at"`
	BrokerID  string    `json:"broker_id,omitempty"`  // who used it
	PublicKey []byte    `json:"public_key,omitempty"` // SHA-256 of the key it was used for
}

// JoinToken makes a token that enrols one broker within ttl.
func (s *Service) JoinToken(ctx context.Context, ttl time.Duration) (JoinToken, error) {
	if ttl < joinTokenLifeMin || ttl > joinTokenLifeMax {
		return "", errs.New(errs.Invalid, "JOIN_TOKEN_TTL", "a join token lives between %v and %v, not %v",
			joinTokenLifeMin, joinTokenLifeMax, ttl)
	}
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return "", fmt.Errorf("draw join token: %w", err)
	}
	value, err := json.Marshal(storedToken{CreatedAt: time.Now().UTC()})
	if err != nil {
		return "", fmt.Errorf("encode join token: %w", err)
	}
	lease, err := s.etcd.Grant(ctx, int64(ttl/time.Second))
	if err != nil {
		return "", fmt.Errorf("grant join token lease: %w", err)
	}
	if _, err := s.etcd.Put(ctx, joinKey(secret[:]), string(value), clientv3.WithLease(lease.ID)); err != nil {
		return "", fmt.Errorf("store join token: %w", err)
	}
	pin := s.authorities.Load().active().fingerprint()
	return JoinToken(joinTokenPrefix + base64.RawURLEncoding.EncodeToString(pin[:]) +
		"_" + base64.RawURLEncoding.EncodeToString(secret[:])), nil
}

// joinKey is where a token is stored: under the hash of its secret.
func joinKey(secret []byte) string {
	sum := sha256.Sum256(secret)
	return joinPrefix + hex.EncodeToString(sum[:])
}

// joinSecret takes a token apart, and returns the CA that it pins; nil if it is
// none of this fleet: that is refused before anything is looked up.
func (a *authorities) joinSecret(text string) ([]byte, *authority) {
	rest, ok := strings.CutPrefix(text, joinTokenPrefix)
	if !ok || len(rest) != 2*joinPartLen+1 || rest[joinPartLen] != '_' {
		return nil, nil
	}
	pin, err := base64.RawURLEncoding.DecodeString(rest[:joinPartLen])
	if err != nil || len(pin) != sha256.Size {
		return nil, nil
	}
	secret, err := base64.RawURLEncoding.DecodeString(rest[joinPartLen+1:])
	if err != nil {
		return nil, nil
	}
	return secret, a.pinned([sha256.Size]byte(pin))
}
