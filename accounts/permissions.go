package accounts

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/internal/errs"
)

// Rules allows or denies subjects. An empty allow list allows all that is not
// denied.
type Rules struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// Responses lets a responder answer on the reply subjects of requests that it
// received.
type Responses struct {
	MaxMessages int           `json:"max_messages,omitempty"` // per request; 0 means 1
	TTL         time.Duration `json:"ttl,omitempty"`          // 0 means 120 s
}

// Permissions says what a user, or a role, may publish and subscribe. The zero
// value allows everything.
type Permissions struct {
	Publish   Rules      `json:"publish,omitzero"`
	Subscribe Rules      `json:"subscribe,omitzero"`
	Responses *Responses `json:"responses,omitempty"`
}

const (
	subjectBytesMax      = 256  // of one rule; keeps claims readable and small
	rulesMax             = 1000 // rules of one permission set; roles travel in every account's claims
	responseMessagesMax  = 1 << 20
	responseTTLMax       = 24 * time.Hour
	defaultResponseCount = 1
	defaultResponseTTL   = 2 * time.Minute
)

// Empty reports whether p says nothing at all.
func (p Permissions) Empty() bool {
	return len(p.Publish.Allow)+len(p.Publish.Deny)+len(p.Subscribe.Allow)+len(p.Subscribe.Deny) == 0 && p.Responses == nil
}

// Validate checks every rule; field is where p sits in the request.
func (p Permissions) Validate(field string) error {
	lists := []struct {
		name  string
		rules []string
		queue bool
	}{
		{"publish.allow", p.Publish.Allow, false},
		{"publish.deny", p.Publish.Deny, false},
		{"subscribe.allow", p.Subscribe.Allow, true},
		{"subscribe.deny", p.Subscribe.Deny, true},
	}
	total := 0
	for _, l := range lists {
		total += len(l.rules)
		for i, rule := range l.rules {
			if err := validateRule(rule, l.queue); err != nil {
				return err.WithField(fmt.Sprintf("%s.%s[%d]", field, l.name, i))
			}
		}
	}
	if total > rulesMax {
		return invalidPermission("%d rules are more than %d", total, rulesMax).WithField(field)
	}
	if r := p.Responses; r != nil {
		if r.MaxMessages < 0 || r.MaxMessages > responseMessagesMax || r.TTL < 0 || r.TTL > responseTTLMax {
			return invalidPermission("responses allow 0 to %d messages and up to %s", responseMessagesMax, responseTTLMax).WithField(field + ".responses")
		}
	}
	return nil
}

// validateRule checks one subject, for subscriptions with an optional queue
// group after a space.
func validateRule(rule string, queueAllowed bool) *errs.Error {
	if len(rule) > subjectBytesMax {
		return invalidPermission("a subject of %d bytes is longer than %d", len(rule), subjectBytesMax)
	}
	subject, queue, hasQueue := strings.Cut(rule, " ")
	if hasQueue {
		if !queueAllowed {
			return invalidPermission("%q has a space", rule).WithNext("only subscribe rules name a queue group")
		}
		if err := validateSubject(queue); err != nil {
			return err
		}
	}
	return validateSubject(subject)
}

func validateSubject(subject string) *errs.Error {
	if subject == "" {
		return invalidPermission("a subject is empty")
	}
	if i := strings.IndexFunc(subject, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\uFFFD' }); i >= 0 {
		return invalidPermission("%q has a space or control character", subject)
	}
	tokens := strings.Split(subject, ".")
	for i, token := range tokens {
		if token == "" {
			return invalidPermission("%q has an empty token", subject)
		}
		if token == ">" && i != len(tokens)-1 {
			return invalidPermission("%q has > before its end", subject)
		}
	}
	return nil
}

func invalidPermission(format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "INVALID_PERMISSION", format, args...)
}

// claims puts p into the form that claims carry. nats-server turns an absent
// allow list into "nothing" once responses are set, so that case says ">".
func (p Permissions) claims() jwt.Permissions {
	out := jwt.Permissions{
		Pub: jwt.Permission{Allow: jwt.StringList(p.Publish.Allow), Deny: jwt.StringList(p.Publish.Deny)},
		Sub: jwt.Permission{Allow: jwt.StringList(p.Subscribe.Allow), Deny: jwt.StringList(p.Subscribe.Deny)},
	}
	if p.Responses == nil {
		return out
	}
	out.Resp = &jwt.ResponsePermission{MaxMsgs: defaultResponseCount, Expires: defaultResponseTTL}
	if p.Responses.MaxMessages > 0 {
		out.Resp.MaxMsgs = p.Responses.MaxMessages
	}
	if p.Responses.TTL > 0 {
		out.Resp.Expires = p.Responses.TTL
	}
	if len(out.Pub.Allow) == 0 {
		out.Pub.Allow = jwt.StringList{">"}
	}
	return out
}
