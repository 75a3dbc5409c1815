package tenancy

import (
	"context"
	"errors"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// SuspendOrganization takes all connections from all accounts of an
// organization. What its accounts and users are themselves stays as it is. Doing
// it again does no harm, and changes the reason.
func (s *Service) SuspendOrganization(ctx context.Context, tx *store.Tx, method, etag, reason string) (store.Organization, store.Operation, error) {
	return s.changeStanding(ctx, tx, method, etag, func(o *store.Organization) error {
		if !o.Suspended {
			o.SuspendTime = tx.Now
		}
		o.Suspended, o.SuspendReason = true, reason
		return tx.PutOrg(*o)
	})
}

// ResumeOrganization brings an organization back as it was.
func (s *Service) ResumeOrganization(ctx context.Context, tx *store.Tx, method, etag string) (store.Organization, store.Operation, error) {
	return s.changeStanding(ctx, tx, method, etag, func(o *store.Organization) error {
		o.Suspended, o.SuspendReason, o.SuspendTime = false, "", time.Time{}
		return tx.PutOrg(*o)
	})
}

// changeStanding changes whether an organization is served, and has the claims of its
// accounts follow.
func (s *Service) changeStanding(ctx context.Context, tx *store.Tx, method, etag string, change func(*store.Organization) error) (store.Organization, store.Operation, error) {
	o, err := tx.Org(ctx)
	if err == nil {
		err = notEnded(o)
	}
	if err != nil {
		return o, store.Operation{}, err
	}
	if err := checkEtag(etag, o.Revision); err != nil {
		return o, store.Operation{}, err
	}
	o.UpdateTime = tx.Now
	if err := change(&o); err != nil {
		return o, store.Operation{}, err
	}
	operation, err := s.spread(ctx, tx, method, OrganizationName(o.ID))
	return o, operation, err
}

// orgReader reads an organization, in a transaction or without.
type orgReader interface {
	Org(ctx context.Context) (store.Organization, error)
}

// refuse asks why an organization refuses something. One that is not there refuses
// nothing: whoever needs it says so.
func refuse(ctx context.Context, r orgReader, why func(store.Organization) error) error {
	o, err := r.Org(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return why(o)
}

// MayChange refuses what members of a suspended or closed organization would change.
func MayChange(ctx context.Context, r orgReader) error {
	return refuse(ctx, r, func(o store.Organization) error {
		if err := mayReopen(o); err != nil || !o.Closing() {
			return err
		}
		return errClosing(o)
	})
}

// MayReopen is MayChange for what brings a closed organization back.
func MayReopen(ctx context.Context, r orgReader) error { return refuse(ctx, r, mayReopen) }

func mayReopen(o store.Organization) error {
	if o.Suspended {
		return Suspended(o)
	}
	return notEnded(o)
}

// NotEnded refuses what anybody would change of an organization that has ended.
func NotEnded(ctx context.Context, r orgReader) error { return refuse(ctx, r, notEnded) }

func notEnded(o store.Organization) error {
	if o.Ended {
		return errEnded(o)
	}
	return nil
}

// Suspended is the refusal of a suspended organization.
func Suspended(o store.Organization) error {
	return errs.New(errs.Precondition, "ORGANIZATION_SUSPENDED", "the organization %q is suspended: %s", o.ID, o.SuspendReason).
		WithNext("reading is possible; ask the operator's staff to resume it")
}
