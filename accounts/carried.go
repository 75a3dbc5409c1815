package accounts

import (
	"encoding/json"
	"fmt"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/internal/errs"
)

// Carried is what claims that were made elsewhere say beyond what a spec has
// fields for, as JSON in the claims' own form. It goes into every claim that is
// signed from the spec; what the spec does say comes on top. Empty is nothing.
type Carried = json.RawMessage

// carry fills part of a claim with what was carried over. Zero values are left
// out of claims, so what is there by default goes first.
func carry[T any](c Carried, into *T) error {
	if len(c) == 0 {
		return nil
	}
	var was T
	if err := json.Unmarshal(c, &was); err != nil {
		return fmt.Errorf("read carried claims: %w", err)
	}
	*into = was
	return nil
}

// carried is the other way round. Nothing is said when the claim says what one
// without it would.
func carried[T any](part, without T) (Carried, error) {
	text, err := json.Marshal(&part)
	if err != nil {
		return nil, fmt.Errorf("write carried claims: %w", err)
	}
	plain, err := json.Marshal(&without)
	if err != nil {
		return nil, fmt.Errorf("write carried claims: %w", err)
	}
	if string(text) == string(plain) {
		return nil, nil
	}
	return text, nil
}

// CarrySharing carries exports and imports over that are not the spec's own.
func (spec *AccountSpec) CarrySharing(exports []Export, imports []Import) error {
	claims := jwt.NewAccountClaims(spec.PublicKey)
	managed(&claims.Account)
	plain := claims.Account
	if err := carry(spec.Carried, &claims.Account); err != nil {
		return err
	}
	for _, e := range exports {
		claims.Exports.Add(e.claims())
	}
	for _, i := range imports {
		claims.Imports.Add(i.claims())
	}
	var err error
	spec.Carried, err = carried(claims.Account, plain)
	return err
}

// CarryRole carries a role's name over, too: here it is called something else.
func CarryRole(r Role) (Carried, error) {
	scope := jwt.NewUserScope()
	if err := carry(r.Carried, scope); err != nil {
		return nil, err
	}
	scope.Role = r.Name
	text, err := json.Marshal(scope)
	if err != nil {
		return nil, fmt.Errorf("write carried claims: %w", err)
	}
	return text, nil
}

// managed takes out of an account's claims what a spec says.
func managed(a *jwt.Account) {
	a.SigningKeys, a.Revocations = nil, nil
	l := &a.Limits
	l.Conn, l.LeafNodeConn, l.Subs, l.Payload, l.Data = 0, 0, 0, 0, 0
	a.Type, a.Version = "", 0
}

// errForeign refuses claims that were made elsewhere.
func errForeign(what string, err error) error {
	return errs.New(errs.Invalid, "INVALID_CLAIMS", "these are no claims of %s that can be taken over", what).WithCause(err)
}
