package share

import (
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/subject"
)

// admits reports whether an account may import, and until when.
func (e *Export) admits(from *Side, importer string, im *Import, now time.Time) (until int64, ok bool) {
	switch {
	case e.Position > 0:
		tokens := strings.Split(im.Subject, ".")
		return 0, e.Position <= len(tokens) && tokens[e.Position-1] == importer
	case e.Token:
		return e.activated(from, importer, im, now)
	case len(e.Accounts) > 0:
		return 0, slices.Contains(e.Accounts, importer)
	}
	return 0, true
}

// activated checks the activation token of an import.
func (e *Export) activated(from *Side, importer string, im *Import, now time.Time) (until int64, ok bool) {
	if im.Claim == nil || im.Claim.Token == "" {
		return 0, false
	}
	vr := jwt.CreateValidationResults()
	claim := *im.Claim
	if claim.Validate(importer, vr); vr.IsBlocking(true) {
		return 0, false
	}
	token, err := jwt.DecodeActivationClaims(claim.Token)
	if err != nil {
		return 0, false
	}
	if issuer := token.IssuerAccount; issuer != "" && (issuer != from.Key || from.Signs == nil || !from.Signs(token.Issuer)) {
		return 0, false
	}
	vr = jwt.CreateValidationResults()
	if token.Validate(vr); vr.IsBlocking(true) || token.Expires != 0 && token.Expires <= now.Unix() {
		return 0, false
	}
	for _, key := range [...]string{token.Subject, jwt.All} {
		if until, ok := e.Revocations[key]; ok && token.IssuedAt <= until {
			return 0, false
		}
	}
	return token.Expires, true
}

// Check refuses an export that nobody could import as it is meant: one without a
// wildcard where the account's key is to be.
func (e *Export) Check() error {
	if !subject.Valid(e.Subject) {
		return ErrSubject
	}
	if e.Position == 0 {
		return nil
	}
	tokens := strings.Split(e.Subject, ".")
	if e.Position > len(tokens) || tokens[e.Position-1] != "*" {
		return ErrSubject
	}
	return nil
}
