package tenancy

import (
	"context"
	"errors"
	"slices"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

const membersMax = 500 // of one organization

// MemberFields are the writable fields of a member.
type MemberFields struct {
	DisplayName string
	Bindings    []store.RoleBinding
}

// MemberName returns the resource name of a member.
func MemberName(organization, id string) string {
	return OrganizationName(organization) + "/members/" + id
}

// newMember makes a member of an organization that is there.
func newMember(ctx context.Context, tx *store.Tx, id, email string, f MemberFields) (store.Member, error) {
	all, err := tx.AllMembers(ctx)
	if err != nil {
		return store.Member{}, err
	}
	if len(all) >= membersMax {
		return store.Member{}, errs.New(errs.Exhausted, "MEMBER_QUOTA", "the organization has %d members, and no more are allowed", len(all)).
			WithNext("remove one")
	}
	m := store.Member{
		ID: id, UID: accounts.NewUID(accounts.PrefixMember, tx.Now), DisplayName: f.DisplayName, Email: email,
		Bindings: f.Bindings, CreateTime: tx.Now, UpdateTime: tx.Now,
	}
	err = tx.CreateMember(ctx, m)
	if errors.Is(err, store.ErrExists) {
		err = taken("MEMBER_EXISTS", "member_id", MemberName(tx.Organization(), id))
	}
	return m, err
}

// UpdateMember changes writable fields.
func (s *Service) UpdateMember(ctx context.Context, tx *store.Tx, by Caller, id, etag string, change func(*MemberFields) error) (store.Member, error) {
	m, err := tx.Member(ctx, id)
	if err != nil {
		return store.Member{}, err
	}
	if err := checkEtag(etag, m.Revision); err != nil {
		return store.Member{}, err
	}
	f := MemberFields{DisplayName: m.DisplayName, Bindings: m.Bindings}
	if err := change(&f); err != nil {
		return store.Member{}, err
	}
	if err := accounts.ValidateDisplayName("member.display_name", f.DisplayName); err != nil {
		return store.Member{}, err
	}
	if err := validateBindings(ctx, tx, "member.role_bindings", f.Bindings); err != nil {
		return store.Member{}, err
	}
	if err := errors.Join(by.mayGrant(m.Bindings), by.mayGrant(f.Bindings)); err != nil {
		return store.Member{}, errOwnerOnly
	}
	if owns(m.Bindings) && !owns(f.Bindings) {
		if err := keepOwner(ctx, tx, store.Holder{Member: id}); err != nil {
			return store.Member{}, err
		}
	}
	m.DisplayName, m.Bindings, m.UpdateTime = f.DisplayName, f.Bindings, tx.Now
	return m, tx.PutMember(m)
}

// DeleteMember removes a member and ends its keys.
func (s *Service) DeleteMember(ctx context.Context, tx *store.Tx, by Caller, id, etag string) error {
	m, err := tx.Member(ctx, id)
	if err != nil {
		return err
	}
	if err := checkEtag(etag, m.Revision); err != nil {
		return err
	}
	if err := by.mayGrant(m.Bindings); err != nil {
		return err
	}
	self := store.Holder{Member: id}
	if owns(m.Bindings) {
		if err := keepOwner(ctx, tx, self); err != nil {
			return err
		}
	}
	keys, err := tx.Keys(ctx, self)
	if err != nil {
		return err
	}
	tx.DeleteMember(m, keys)
	return nil
}

func owns(bindings []store.RoleBinding) bool {
	return slices.ContainsFunc(bindings, func(b store.RoleBinding) bool { return b.Role == authz.Owner && b.Account == "" })
}

// keepOwner refuses that an owner goes unless another one can act: one whose
// key is neither disabled nor expired. It reads everybody, so that of two
// owners who remove each other at the same time one stays.
func keepOwner(ctx context.Context, tx *store.Tx, going store.Holder) error {
	services, err := tx.AllServiceAccounts(ctx)
	if err != nil {
		return err
	}
	members, err := tx.AllMembers(ctx)
	if err != nil {
		return err
	}
	var owners []store.Holder
	for _, a := range services {
		if owns(a.Bindings) && !a.Disabled {
			owners = append(owners, store.Holder{ServiceAccount: a.ID})
		}
	}
	for _, m := range members {
		if owns(m.Bindings) {
			owners = append(owners, store.Holder{Member: m.ID})
		}
	}
	for _, h := range owners {
		if h == going {
			continue
		}
		keys, err := tx.Keys(ctx, h)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(keys, func(k store.APIKey) bool { return !k.Disabled && !KeyExpired(k, tx.Now) }) {
			return nil
		}
	}
	return errs.New(errs.Precondition, "LAST_OWNER", "the organization would have no owner left that can act").
		WithNext("make another owner first, with a key that is accepted")
}

// unbindPeople takes roles away from members and out of invitations that are
// not accepted yet. An invitation without any role left is revoked.
func unbindPeople(ctx context.Context, tx *store.Tx, which func(store.RoleBinding) bool) error {
	members, err := tx.AllMembers(ctx)
	if err != nil {
		return err
	}
	for _, m := range members {
		if !slices.ContainsFunc(m.Bindings, which) {
			continue
		}
		m.Bindings, m.UpdateTime = slices.DeleteFunc(m.Bindings, which), tx.Now
		if err := tx.PutMember(m); err != nil {
			return err
		}
	}
	invitations, err := tx.AllInvitations(ctx)
	if err != nil {
		return err
	}
	for _, i := range invitations {
		if InvitationLifeOf(i, tx.Now) != InvitationPending || !slices.ContainsFunc(i.Bindings, which) {
			continue
		}
		if i.Bindings = slices.DeleteFunc(i.Bindings, which); len(i.Bindings) == 0 {
			i.RevokeTime = tx.Now
		}
		if err := tx.PutInvitation(i); err != nil {
			return err
		}
	}
	return nil
}
