package accounts

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/coveymq/covey/internal/errs"
)

// Kind is a kind of resource whose id the caller chooses.
type Kind struct {
	Noun     string // as people call it
	Field    string // the request field that carries it
	Min, Max int    // length in characters
}

// The kinds of resources with ids chosen by callers.
func organizationKind() Kind { return Kind{"organization id", "organization_id", 3, 40} }
func accountKind() Kind      { return Kind{"account id", "account_id", 2, 63} }
func userKind() Kind         { return Kind{"user id", "user_id", 2, 63} }
func roleKind() Kind         { return Kind{"role", "role", 2, 63} }
func federationKind() Kind   { return Kind{"federation policy id", "federation_policy_id", 2, 63} }
func alertPolicyKind() Kind  { return Kind{"alert policy id", "alert_policy_id", 2, 63} }
func exportKind() Kind       { return Kind{"export id", "export_id", 2, 63} }
func importKind() Kind       { return Kind{"import id", "import_id", 2, 63} }
func planKind() Kind         { return Kind{"plan id", "plan_id", 2, 63} }
func memberKind() Kind       { return Kind{"member id", "member_id", 2, 63} }
func serviceAccountKind() Kind {
	return Kind{"service account id", "service_account_id", 2, 63}
}

// ValidateOrganizationID checks the id of a new organization.
func ValidateOrganizationID(id string) error { return organizationKind().Validate(id) }

// ValidateAccountID checks the id of a new account.
func ValidateAccountID(id string) error { return accountKind().Validate(id) }

// ValidateUserID checks the id of a new user.
func ValidateUserID(id string) error { return userKind().Validate(id) }

// ValidateServiceAccountID checks the id of a new service account.
func ValidateServiceAccountID(id string) error { return serviceAccountKind().Validate(id) }

// ValidateMemberID checks the id of a new member.
func ValidateMemberID(id string) error { return memberKind().Validate(id) }

// ValidateFederationPolicyID checks the id of a new federation policy.
func ValidateFederationPolicyID(id string) error { return federationKind().Validate(id) }

// ValidateAlertPolicyID checks the id of a new alert policy.
func ValidateAlertPolicyID(id string) error { return alertPolicyKind().Validate(id) }

// ValidateExportID checks the id of a new export.
func ValidateExportID(id string) error { return exportKind().Validate(id) }

// ValidateImportID checks the id of a new import.
func ValidateImportID(id string) error { return importKind().Validate(id) }

// ValidatePlanID checks the id of a new plan.
func ValidatePlanID(id string) error { return planKind().Validate(id) }

// ValidateRole checks the name of a role.
func ValidateRole(id string) error { return roleKind().Validate(id) }

// Validate says what exactly is wrong with id, or nil. Ids are lower-case
// letters, digits and hyphens, begin with a letter and do not end in a hyphen.
func (k Kind) Validate(id string) error {
	if id == "" {
		return k.refuse("the %s is empty", k.Noun)
	}
	if len(id) < k.Min {
		return k.refuse("the %s %q has %d characters, fewer than %d", k.Noun, id, len(id), k.Min)
	}
	if len(id) > k.Max {
		return k.refuse("the %s is %d characters long, more than %d", k.Noun, len(id), k.Max)
	}
	for i, r := range id {
		switch {
		case r >= 'a' && r <= 'z':
		case (r >= '0' && r <= '9' || r == '-') && i > 0:
		case i == 0:
			return k.refuse("the %s %q begins with %q, not with a letter", k.Noun, id, r)
		default:
			return k.refuse("the %s %q has %q at position %d", k.Noun, id, r, i+1)
		}
	}
	if id[len(id)-1] == '-' {
		return k.refuse("the %s %q ends in a hyphen", k.Noun, id)
	}
	return nil
}

func (k Kind) refuse(format string, args ...any) error {
	return errs.New(errs.Invalid, "INVALID_ID", "%s", fmt.Sprintf(format, args...)).
		WithField(k.Field).
		WithNext("use %d to %d lower-case letters, digits and hyphens, beginning with a letter", k.Min, k.Max)
}

// The ids that names from elsewhere become.
func (k Kind) from(name string, taken func(string) bool) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z', b.Len() > 0 && r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	id := b.String()
	if len(id) > k.Max {
		id = id[:k.Max]
	}
	id = strings.Trim(id, "-")
	for len(id) < k.Min {
		id += "x"
	}
	for n := 2; taken(id); n++ {
		tail := fmt.Sprintf("-%d", n)
		if base := strings.TrimSuffix(id, fmt.Sprintf("-%d", n-1)); len(base)+len(tail) <= k.Max {
			id = base + tail
			continue
		}
		id = strings.TrimRight(id[:k.Max-len(tail)], "-") + tail
	}
	return id
}

// OrganizationIDFrom makes an id of a name from elsewhere.
func OrganizationIDFrom(name string) string {
	return organizationKind().from(name, func(string) bool { return false })
}

// AccountIDFrom makes an id of a name from elsewhere, another than those taken.
func AccountIDFrom(name string, taken func(string) bool) string {
	return accountKind().from(name, taken)
}

// UserIDFrom is AccountIDFrom for users.
func UserIDFrom(name string, taken func(string) bool) string { return userKind().from(name, taken) }

// RoleFrom is AccountIDFrom for roles.
func RoleFrom(name string, taken func(string) bool) string { return roleKind().from(name, taken) }

// ExportIDFrom is AccountIDFrom for exports.
func ExportIDFrom(name string, taken func(string) bool) string { return exportKind().from(name, taken) }

// ImportIDFrom is AccountIDFrom for imports.
func ImportIDFrom(name string, taken func(string) bool) string { return importKind().from(name, taken) }

const displayNameMax = 120 // characters of a display name in bytes; enough for any title

// ValidateDisplayName checks a name meant for people: any text that shows what it
// is. Characters that nobody sees, or that turn the text around, would let a name
// pass for another one.
func ValidateDisplayName(field, name string) error {
	if len(name) > displayNameMax {
		return errs.New(errs.Invalid, "INVALID_DISPLAY_NAME", "the display name is %d bytes long, more than %d", len(name), displayNameMax).WithField(field)
	}
	for i, r := range name {
		if hidden(r) {
			return errs.New(errs.Invalid, "INVALID_DISPLAY_NAME", "the display name has a control character or an invisible one at byte %d", i+1).WithField(field)
		}
	}
	return nil
}

// hidden reports whether a character controls something, or shows nothing. The
// joiners that some scripts and emoji need are text.
func hidden(r rune) bool {
	switch r {
	case '\u200B', '\u2060', '\uFEFF', unicode.ReplacementChar:
		return true
	}
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}
