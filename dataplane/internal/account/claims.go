package account

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/permission"
	"github.com/coveymq/covey/dataplane/internal/share"
)

// ErrUntrusted is a claim that no trusted operator key signed.
var ErrUntrusted = errors.New("not signed by a trusted operator key")

// ErrInvalid is a claim that means nothing.
var ErrInvalid = errors.New("account claims are not valid")

// Decode verifies a signed account claim and compiles it. Trusted says whether
// a public key is one of the operator's.
func Decode(key, token string, revision int64, trusted func(string) bool) (*State, error) {
	var nothing *Verified
	return nothing.decode(key, token, revision, trusted)
}

// decode is Decode for claims that may have been verified before.
func (v *Verified) decode(key, token string, revision int64, trusted func(string) bool) (*State, error) {
	claims, err := v.Claims(token)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if claims.Subject != key {
		return nil, fmt.Errorf("%w: those of %s were given for %s", ErrInvalid, claims.Subject, key)
	}
	if !trusted(claims.Issuer) {
		return nil, fmt.Errorf("account claims issued by %s: %w", claims.Issuer, ErrUntrusted)
	}
	if err := v.possible(token, claims); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, key, err)
	}
	quotas, err := claimedQuotas(claims)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, key, err)
	}
	s := &State{
		Quotas:   quotas.Own,
		Revision: revision,
		Name:     claims.Name,
		Issuer:   claims.Issuer,
		token:    token,
		Tags:     claims.Tags,
		Limits: Limits{
			Connections: claims.Limits.Conn, Leafs: claims.Limits.LeafNodeConn,
			Subscriptions: claims.Limits.Subs, Payload: claims.Limits.Payload,
		},
		Signers:     map[string]*Scope{key: nil},
		Revocations: claims.Revocations,
		Expires:     claims.Expires,
		NoBearer:    claims.Limits.DisallowBearer,
		Default:     permission.New(&claims.DefaultPermissions),
		External:    external(&claims.Authorization),
	}
	s.Terms, s.Faults = share.FromClaims(claims)
	if t := claims.Trace; t != nil && t.Destination != "" {
		s.Tracing = &Tracing{Dest: string(t.Destination), Sampling: cmp.Or(t.Sampling, 100)}
	}
	for signer, scope := range claims.SigningKeys {
		s.Signers[signer] = nil
		if us, ok := scope.(*jwt.UserScope); ok {
			s.Signers[signer] = compile(us, s)
			s.Signers[signer].Quotas = quotas.Role(us.Role)
		}
	}
	return s, nil
}

// valid refuses what the jwt library finds impossible, as nats-server does. That
// claims are expired is not for here to say.
func valid(claims *jwt.AccountClaims) error {
	vr := jwt.CreateValidationResults()
	claims.Validate(vr)
	for _, issue := range vr.Issues {
		if issue.Blocking && !issue.TimeCheck {
			return errors.New(issue.Description)
		}
	}
	return nil
}

// compile prepares a role. A template without placeholders is compiled once and
// shared by all its users.
func compile(us *jwt.UserScope, s *State) *Scope {
	template, rules := us.Template.Permissions, NewRules(&us.Template)
	if !templated(&template) {
		set := permission.New(&template)
		return &Scope{Role: us.Role, Rules: rules, Template: func(*Identity) (*permission.Set, error) { return set, nil }}
	}
	return &Scope{Role: us.Role, Rules: rules, Template: func(id *Identity) (*permission.Set, error) {
		p, err := expand(&template, id, s)
		if err != nil {
			return nil, err
		}
		return permission.New(p), nil
	}}
}

func templated(p *jwt.Permissions) bool {
	for _, list := range lists(p) {
		for _, entry := range *list {
			if strings.Contains(entry, "{{") {
				return true
			}
		}
	}
	return false
}

func lists(p *jwt.Permissions) []*jwt.StringList {
	return []*jwt.StringList{&p.Pub.Allow, &p.Pub.Deny, &p.Sub.Allow, &p.Sub.Deny}
}
