package tenancy

import (
	"context"
	"net/mail"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// contactMax is the longest address that mail servers pass on.
const contactMax = 254

// OrganizationFields are what an organization says of itself.
type OrganizationFields struct{ DisplayName, ContactEmail string }

// UpdateOrganization changes writable fields.
func (s *Service) UpdateOrganization(ctx context.Context, tx *store.Tx, etag string, change func(*OrganizationFields) error) (store.Organization, error) {
	o, err := tx.Org(ctx)
	if err != nil {
		return o, err
	}
	if err := checkEtag(etag, o.Revision); err != nil {
		return o, err
	}
	f := OrganizationFields{DisplayName: o.DisplayName, ContactEmail: o.ContactEmail}
	if err := change(&f); err != nil {
		return o, err
	}
	if f.DisplayName == "" {
		f.DisplayName = o.ID // as signing up does
	}
	if err := accounts.ValidateDisplayName("organization.display_name", f.DisplayName); err != nil {
		return o, err
	}
	if f.ContactEmail != o.ContactEmail {
		if err := checkContact(f.ContactEmail); err != nil {
			return o, err
		}
	}
	o.DisplayName, o.ContactEmail, o.UpdateTime = f.DisplayName, f.ContactEmail, tx.Now
	return o, tx.PutOrg(o)
}

// checkContact wants one bare address: notices and invoices go there.
func checkContact(address string) error {
	if a, err := mail.ParseAddress(address); err != nil || a.Address != address || len(address) > contactMax {
		return errs.New(errs.Invalid, "INVALID_FIELD", "organization.contact_email: %q is not the address of a mailbox", address).
			WithField("organization.contact_email").WithNext("give one like ann@example.com, without a name")
	}
	return nil
}
