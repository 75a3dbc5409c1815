package accounts

import (
	"strings"

	"github.com/coveymq/covey/internal/errs"
)

// How quotas travel in claims, which stock nats-server must accept: as tags. An
// account's claims carry its own and those of its roles, a user's only its own.
const (
	limitTagPrefix = reservedTagPrefix + "limit:"
	roleTagPrefix  = reservedTagPrefix + "role:"
)

// QuotaTags returns the tags for an account's quotas, or a user's.
func QuotaTags(q Quotas) []string { return quotaTags(limitTagPrefix, q) }

// RoleQuotaTags returns the tags for the quotas of a role's users.
func RoleQuotaTags(role string, q Quotas) []string {
	return quotaTags(roleTagPrefix+strings.ToLower(role)+":", q)
}

func quotaTags(prefix string, q Quotas) []string {
	var tags []string
	for _, name := range q.Names() {
		tags = append(tags, prefix+name+"="+q[name].String())
	}
	return tags
}

// TagQuotas are the quotas in the tags of a claim.
type TagQuotas struct {
	Own   Quotas
	Roles map[string]Quotas // by the role's name in lower case
}

// Role returns what a role's users have.
func (t *TagQuotas) Role(name string) Quotas { return t.Roles[strings.ToLower(name)] }

// ParseQuotaTags reads the quotas from the tags of an account's claims. A tag
// that begins like ours and is not understood is an error: a limit that nobody
// enforces is worse than one that is refused.
func ParseQuotaTags(tags []string) (TagQuotas, error) {
	var all TagQuotas
	for _, tag := range tags {
		tag = strings.ToLower(tag)
		if text, ok := strings.CutPrefix(tag, limitTagPrefix); ok {
			if err := addQuota(&all.Own, tag, text); err != nil {
				return all, err
			}
			continue
		}
		text, ok := strings.CutPrefix(tag, roleTagPrefix)
		if !ok {
			if strings.HasPrefix(tag, reservedTagPrefix) {
				return all, badTag(tag)
			}
			continue
		}
		colon := strings.LastIndexByte(text, ':')
		if colon < 1 {
			return all, badTag(tag)
		}
		if all.Roles == nil {
			all.Roles = make(map[string]Quotas)
		}
		q := all.Roles[text[:colon]]
		if err := addQuota(&q, tag, text[colon+1:]); err != nil {
			return all, err
		}
		if err := q.ForUsers(); err != nil {
			return all, err
		}
		all.Roles[text[:colon]] = q
	}
	return all, nil
}

// ParseUserQuotaTags reads the quotas from the tags of a user's claims.
func ParseUserQuotaTags(tags []string) (Quotas, error) {
	all, err := ParseQuotaTags(tags)
	if err != nil {
		return nil, err
	}
	if len(all.Roles) > 0 {
		return nil, errs.New(errs.Invalid, "RESERVED_TAG", "limits of roles are in the account's claims, not in a user's").WithField("tags")
	}
	return all.Own, all.Own.ForUsers()
}

func addQuota(to *Quotas, tag, text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return badTag(tag)
	}
	q, err := ParseQuota(name, value)
	if err != nil {
		return err
	}
	if _, twice := (*to)[name]; twice {
		return errs.New(errs.Invalid, "RESERVED_TAG", "the tags state the limit %s twice", name).WithField("tags")
	}
	if *to == nil {
		*to = make(Quotas)
	}
	(*to)[name] = q
	return nil
}

func badTag(tag string) error {
	return errs.New(errs.Invalid, "RESERVED_TAG", "the tag %q begins like a limit of ours and is none", tag).WithField("tags").
		WithNext("use covey-limit:name=amount/burst/policy or covey-role:role:name=amount/burst/policy")
}
