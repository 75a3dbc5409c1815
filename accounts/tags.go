package accounts

import (
	"strings"

	"github.com/coveymq/covey/internal/errs"
)

// reservedTagPrefix marks the tags that carry Covey's own limits and roles.
const reservedTagPrefix = "covey-"

// ValidateTags refuses tags that only the control plane may set. Claims
// lower-case their tags, so the check ignores case.
func ValidateTags(tags []string) error {
	for _, tag := range tags {
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(tag)), reservedTagPrefix) {
			return errs.New(errs.Invalid, "RESERVED_TAG", "the tag %q begins with %q, which is reserved", tag, reservedTagPrefix).WithField("tags")
		}
	}
	return nil
}
