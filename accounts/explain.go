package accounts

import "strings"

// Verdict is what permissions say about one subject. Rule is the one that
// decides, "" when it is that nothing allows it, or that nothing is said.
type Verdict struct {
	Allowed bool
	Rule    string
	Denied  bool     // Rule is one that denies
	Except  []string // of a subscription that is allowed: what it will not get
}

// ExplainPublish says whether p lets a message be published on a subject.
func (p Permissions) ExplainPublish(subject string) Verdict {
	rules := p.Publish
	if p.Responses != nil && len(rules.Allow) == 0 {
		rules.Allow = []string{">"} // as claims say it
	}
	return rules.explain(subject, "")
}

// ExplainSubscribe says whether p lets a subscription be made, with a queue
// group unless that is "".
func (p Permissions) ExplainSubscribe(subject, queue string) Verdict {
	v := p.Subscribe.explain(subject, queue)
	if !v.Allowed {
		return v
	}
	for _, rule := range p.Subscribe.Deny {
		denied, group, named := strings.Cut(rule, " ")
		if (!named || queueMatches(group, queue)) && Contains(subject, denied) {
			v.Except = append(v.Except, denied)
		}
	}
	return v
}

func (r Rules) explain(subject, queue string) Verdict {
	for _, rule := range r.Deny {
		if ruleCovers(rule, subject, queue) {
			return Verdict{Rule: rule, Denied: true}
		}
	}
	if len(r.Allow) == 0 {
		return Verdict{Allowed: true}
	}
	for _, rule := range r.Allow {
		if ruleCovers(rule, subject, queue) {
			return Verdict{Allowed: true, Rule: rule}
		}
	}
	return Verdict{}
}

// ruleCovers reports whether a rule is about all of a subject. One that names a
// queue group is about that group only.
func ruleCovers(rule, subject, queue string) bool {
	outer, group, named := strings.Cut(rule, " ")
	if named && !queueMatches(group, queue) {
		return false
	}
	return Contains(outer, subject)
}

func queueMatches(group, queue string) bool { return queue != "" && Contains(group, queue) }

// ValidSubject says what is wrong with a subject, if anything. Of a message it
// may have no wildcards.
func ValidSubject(subject string, literal bool) error {
	if err := validateSubject(subject); err != nil {
		return err.WithField("subject")
	}
	if literal && wildcards(subject) > 0 {
		return invalidPermission("a message cannot go to %q", subject).WithField("subject").WithNext("leave out the wildcards")
	}
	return nil
}
