// Package permission decides what a connection may publish and subscribe. A Set
// is compiled once, immutable, and shared by all connections with the same
// rules. It is pure.
package permission

import (
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

// New compiles the permissions of a claim. It returns nil when they allow
// everything.
func New(p *jwt.Permissions) *Set {
	s := &Set{
		pubAllow: p.Pub.Allow, pubDeny: p.Pub.Deny,
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
	return s
}

func rules(list []string) []rule {
	if list == nil {
		return nil
	}
	out := make([]rule, 0, len(list)) // an empty list allows nothing, no list everything
	for _, entry := range list {
		s, queue, _ := strings.Cut(entry, " ")
		out = append(out, rule{subject: s, queue: strings.TrimSpace(queue)})
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

func covered(subj []byte, patterns []string) bool {
	for _, p := range patterns {
		if subject.Matches(subj, p) {
			return true
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
		plain, matched, named := look(s.subAllow, subj, queue)
		allowed := plain
		if queue != "" && named {
			allowed = matched
		}
		if !allowed {
			return false
		}
	}
	return !s.denied(subj, queue)
}

// denied reports whether a subscription, or a delivery to it, is ruled out.
func (s *Set) denied(subj, queue string) bool {
	plain, matched, _ := look(s.subDeny, subj, queue)
	return plain || queue != "" && matched
}

// look finds the entries that cover a subject: one without a queue, one whose
// queue covers the given one, one with any queue.
func look(list []rule, subj, queue string) (plain, matched, named bool) {
	for _, r := range list {
		if !subject.Matches(subj, r.subject) {
			continue
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
func (s *Set) Deliver(subj, queue string) bool { return s == nil || !s.denied(subj, queue) }

// Responses returns the rule for answers, or nil.
func (s *Set) Responses() *Responses {
	if s == nil {
		return nil
	}
	return s.responses
}
