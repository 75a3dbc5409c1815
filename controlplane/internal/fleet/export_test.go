package fleet

import (
	"context"
	"time"
)

// Forget runs one round of garbage collection.
func (s *Service) Forget(ctx context.Context, now time.Time) error { return s.forget(ctx, now) }

// Fingerprint is the CA's.
func (s *Service) Fingerprint() [32]byte { return s.authorities.Load().active().fingerprint() }

// JoinSecretOK reports whether a token's text has the right form and pin.
func (s *Service) JoinSecretOK(text string) bool {
	_, ca := s.authorities.Load().joinSecret(text)
	return ca != nil
}

// GarbageAge is how long brokers that are gone stay listed.
const GarbageAge = garbageAge

// PendingMax bounds the claims that wait for one broker.
const PendingMax = pendingMax
