package account

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/nats-io/jwt/v2"
)

// trust is the operators' public keys that sign accounts, each with whether it
// is of an operator with strict signing key usage. Immutable.
type trust struct {
	root string // of the one operator whose claims may be replaced; see SetOperator
	keys map[string]bool
}

// SetOperator takes an operator's JWT for the signing keys it names, if the
// root key of the registry signed it.
func (r *Registry) SetOperator(token string) error {
	root := r.trust.Load().root
	claims, err := operatorClaims(token)
	if err != nil {
		return err
	}
	if claims.Subject != root {
		return fmt.Errorf("operator claims of %s issued by %s: %w", claims.Subject, claims.Issuer, ErrUntrusted)
	}
	r.setTrust(&trust{root: root, keys: signersOf(nil, claims)})
	return nil
}

// SetOperators takes the JWTs of several operators, whoever they are. If one is
// no good all stays as it is.
func (r *Registry) SetOperators(tokens ...string) error {
	keys := make(map[string]bool)
	for _, token := range tokens {
		claims, err := operatorClaims(token)
		if err != nil {
			return err
		}
		keys = signersOf(keys, claims)
	}
	r.setTrust(&trust{root: r.trust.Load().root, keys: keys})
	return nil
}

// SetSigners takes keys that sign accounts without an operator's JWT.
func (r *Registry) SetSigners(signers ...string) {
	keys := make(map[string]bool, len(signers))
	for _, key := range signers {
		keys[key] = false
	}
	r.setTrust(&trust{root: r.trust.Load().root, keys: keys})
}

// operatorClaims verifies an operator's JWT, which its root key has to sign.
func operatorClaims(token string) (*jwt.OperatorClaims, error) {
	claims, err := jwt.DecodeOperatorClaims(token)
	if err != nil {
		return nil, fmt.Errorf("operator claims: %w", err)
	}
	if claims.Subject != claims.Issuer {
		return nil, fmt.Errorf("operator claims of %s issued by %s: %w", claims.Subject, claims.Issuer, ErrUntrusted)
	}
	return claims, nil
}

// signersOf adds the keys with which an operator signs accounts: with strict
// signing key usage its root key is none of them.
func signersOf(keys map[string]bool, claims *jwt.OperatorClaims) map[string]bool {
	if keys == nil {
		keys = make(map[string]bool)
	}
	strict := claims.StrictSigningKeyUsage
	if !strict {
		keys[claims.Subject] = false
	}
	for _, key := range claims.SigningKeys {
		keys[key] = strict
	}
	return keys
}

// setTrust puts keys in force, for the accounts that are loaded as well: those
// whose signature counts no more end.
func (r *Registry) setTrust(t *trust) {
	r.trust.Store(t)
	r.Each(func(a *Account) {
		s := a.State()
		if s.Issuer == "" {
			return
		}
		strict, trusted := t.keys[s.Issuer]
		if !trusted {
			r.Delete(a.Key, s.Revision)
			return
		}
		if _, own := s.Signers[a.Key]; own == strict {
			next := *s
			next.Signers = maps.Clone(s.Signers)
			next.restrict(a.Key, strict)
			a.Apply(&next)
		}
	})
}

// restrict says whether the account's own key may sign users.
func (s *State) restrict(key string, strict bool) {
	if strict {
		delete(s.Signers, key)
	} else {
		s.Signers[key] = nil
	}
}

// Trusts reports whether a key is one with which the operators sign.
func (r *Registry) Trusts(key string) bool { return r.trusted(key) }

// Verify says what is wrong with claims of an account, if anything.
func (r *Registry) Verify(key, token string) error {
	_, err := r.decode(key, token, 1)
	return err
}

func (r *Registry) trusted(key string) bool {
	_, ok := r.trust.Load().keys[key]
	return ok
}

// decode verifies claims by the operators' keys.
func (r *Registry) decode(key, token string, revision int64) (*State, error) {
	s, err := r.verified.Load().decode(key, token, revision, r.trusted)
	if err != nil {
		return nil, err
	}
	s.Quotas = s.Quotas.Or(r.Defaults)
	s.restrict(key, r.trust.Load().keys[s.Issuer])
	return s, nil
}

// Refresh looks all loaded accounts up again and puts in force what has changed.
// It is for sources that do not tell of changes. What cannot be looked up stays.
func (r *Registry) Refresh(ctx context.Context) error {
	var all []error
	r.Each(func(a *Account) {
		s := a.State()
		if s.Issuer == "" {
			return
		}
		token, revision, err := r.source.Lookup(ctx, a.Key)
		switch {
		case errors.Is(err, ErrUnknown):
			r.Delete(a.Key, s.Revision)
		case err != nil:
			all = append(all, fmt.Errorf("account %s: %w", a.Key, err))
		case token != s.token:
			if err := r.Apply(a.Key, token, revision); err != nil {
				all = append(all, fmt.Errorf("account %s: %w", a.Key, err))
			}
		}
	})
	return errors.Join(all...)
}
