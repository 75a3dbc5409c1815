// Package permission decides what a connection may publish and subscribe. A Set
// is compiled once, immutable, and shared by all connections with the same
// rules. It is pure.
package permission

import (
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/subject"
)

// Set is one compiled set of rules. A nil *Set allows everything.
type Set struct {
	pubAllow, pubDeny []string
	subAllow, subDeny []rule
	responses         *Responses
}

// rule is an entry of a subscribe list: a subject, and a queue pattern if the
// entry had one.
type rule struct{ subject, queue string }

// Responses lets a responder publish to the reply subjects of requests it got.
type Responses struct {
	Max     int           // answers per request; negative for no bound
	Expires time.Duration // how long after the request; negative for ever
}

// The defaults of nats-server for responses.
const (
	defaultResponses       = 1
	defaultResponseExpires = 2 * time.Minute
)

// New compiles the permissions of a claim, or finds that the same rules are in
// use. It returns nil when they allow everything.
func New(p *jwt.Permissions) *Set {
	s := &Set{
		pubAllow: p.Pub.Allow, pubDeny: subjects(p.Pub.Deny),
		subAllow: rules(p.Sub.Allow), subDeny: rules(p.Sub.Deny),
	}
	if r := p.Resp; r != nil {
		s.responses = &Responses{Max: r.MaxMsgs, Expires: r.Expires}
		if r.MaxMsgs == 0 {
			s.responses.Max = defaultResponses
		}
		if r.Expires == 0 {
			s.responses.Expires = defaultResponseExpires
		}
		// Being allowed to answer means being allowed nothing else by default.
		if s.pubAllow == nil {
			s.pubAllow = []string{}
		}
	}
	if s.pubAllow == nil && len(s.pubDeny) == 0 && s.subAllow == nil && len(s.subDeny) == 0 {
		return nil
	}
	return shared(s)
}

// DenyPublish returns the same rules with one subject more that may not be
// published to.
func (s *Set) DenyPublish(subj string) *Set {
	next := &Set{}
	if s != nil {
		*next = *s
	}
	if !slices.Contains(next.pubDeny, subj) {
		next.pubDeny = append(slices.Clone(next.pubDeny), subj)
	}
	return shared(next)
}

// Claims returns the rules as a claim has them; nil when they allow everything.
func (s *Set) Claims() *jwt.Permissions {
	if s == nil {
		return nil
	}
	p := &jwt.Permissions{
		Pub: jwt.Permission{Allow: slices.Clone(s.pubAllow), Deny: slices.Clone(s.pubDeny)},
		Sub: jwt.Permission{Allow: entries(s.subAllow), Deny: entries(s.subDeny)},
	}
	if r := s.responses; r != nil {
		p.Resp = &jwt.ResponsePermission{MaxMsgs: r.Max, Expires: r.Expires}
	}
	return p
}

// entries undoes rules.
func entries(list []rule) []string {
	var out []string
	for _, r := range list {
		out = append(out, strings.TrimSpace(r.subject+" "+r.queue))
	}
	return out
}

// Equal reports whether two sets are the same rules, in the same order.
func (s *Set) Equal(t *Set) bool {
	if s == nil || t == nil || s == t {
		return s == t
	}
	return sameList(s.pubAllow, t.pubAllow) && sameList(s.pubDeny, t.pubDeny) && sameList(s.subAllow, t.subAllow) &&
		sameList(s.subDeny, t.subDeny) && (s.responses == nil) == (t.responses == nil) && (s.responses == nil || *s.responses == *t.responses)
}

// sameList distinguishes a list that is empty from none.
func sameList[T comparable](a, b []T) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }

// rules compiles a subscribe list. An empty list, which allows nothing, stays
// distinct from no list, which allows everything.
func rules(list []string) []rule {
	if list == nil {
		return nil
	}
	out := make([]rule, 0, len(list))
	for _, entry := range list {
		s, queue, _ := strings.Cut(entry, " ")
		out = append(out, rule{subject: s, queue: strings.TrimSpace(queue)})
	}
	return out
}

// subjects drops queue names, which mean nothing in a publish list. In a deny
// list the subject counts, as in nats-server; in an allow list such an entry
// covers nothing.
func subjects(list []string) []string {
	out := make([]string, 0, len(list))
	for _, r := range rules(list) {
		out = append(out, r.subject)
	}
	return out
}

// Publish reports whether the rules allow publishing to a subject. Permission
// by a request's reply subject is the caller's to check; see Responses.
func (s *Set) Publish(subj []byte) bool {
	if s == nil {
		return true
	}
	if s.pubAllow != nil && !covered(subj, s.pubAllow) {
		return false
	}
	return !covered(subj, s.pubDeny)
}

// covered reports whether one of the patterns matches a subject. As in
// nats-server none matches a subject with an empty token, which reaches nobody.
func covered(subj []byte, patterns []string) bool {
	for _, p := range patterns {
		if subject.MatchesLiteral(subj, p) {
			return subject.Whole(subj)
		}
	}
	return false
}

// Subscribe reports whether the rules allow a subscription. Queue is empty for
// a plain one.
func (s *Set) Subscribe(subj, queue string) bool {
	if s == nil {
		return true
	}
	if s.subAllow != nil {
		plain, matched, named := look(s.subAllow, subj, queue, subject.Matches[string, string])
		allowed := plain
		if queue != "" && named {
			allowed = matched
		}
		if !allowed {
			return false
		}
	}
	return !denied(s, subj, queue, subject.Matches[string, string])
}

// denied reports whether a subscription, or a delivery to it, is ruled out.
func denied[S ~string | ~[]byte](s *Set, subj S, queue string, match func(S, string) bool) bool {
	plain, matched, _ := look(s.subDeny, subj, queue, match)
	return plain || queue != "" && matched
}

// look finds the entries that match a subject: one without a queue, one whose
// queue covers the given one, one with any queue.
func look[S ~string | ~[]byte](list []rule, subj S, queue string, match func(S, string) bool) (plain, matched, named bool) {
	for _, r := range list {
		if !match(subj, r.subject) {
			continue
		}
		if !subject.Whole(subj) {
			break
		}
		if r.queue == "" {
			plain = true
			continue
		}
		named = true
		matched = matched || queue == r.queue || subject.HasWildcard(r.queue) && subject.Matches(queue, r.queue)
	}
	return plain, matched, named
}

// Filter reports whether deliveries to this subscription must each be checked
// with Deliver: a wildcard may reach into what is denied.
func (s *Set) Filter(subj, queue string) bool {
	if s == nil || queue == "" && !subject.HasWildcard(subj) {
		return false
	}
	for _, r := range s.subDeny {
		if subject.Overlaps(r.subject, subj) {
			return true
		}
	}
	return false
}

// Deliver reports whether a message may reach a subscription with this queue.
func (s *Set) Deliver(subj []byte, queue string) bool {
	return s == nil || !denied(s, subj, queue, subject.MatchesLiteral[[]byte, string])
}

// Responses returns the rule for answers, or nil.
func (s *Set) Responses() *Responses {
	if s == nil {
		return nil
	}
	return s.responses
}
