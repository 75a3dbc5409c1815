package store

import (
	"context"
	"time"

	"github.com/coveymq/covey/accounts"
)

// Holder is who holds API keys: a service account or a member, one of both.
type Holder struct{ ServiceAccount, Member string }

// IsZero reports whether it is nobody: an operator's keys have no holder.
func (h Holder) IsZero() bool { return h == Holder{} }

// Holder returns who holds the key.
func (k APIKey) Holder() Holder { return Holder{k.ServiceAccount, k.Member} }

func (v *View) holderKey(h Holder) string {
	if h.Member != "" {
		return v.orgKey("member-keys/%s", h.Member)
	}
	return v.orgKey("sa-keys/%s", h.ServiceAccount)
}

// Bearer is what the holder of a key may do.
type Bearer struct {
	Bindings []RoleBinding
	Disabled bool
}

// Bearer reads what a holder may do.
func (v *View) Bearer(ctx context.Context, h Holder) (Bearer, error) {
	switch {
	case h.Member != "":
		m, err := v.Member(ctx, h.Member)
		return Bearer{Bindings: m.Bindings}, err
	case h.ServiceAccount != "":
		a, err := v.ServiceAccount(ctx, h.ServiceAccount)
		return Bearer{Bindings: a.Bindings, Disabled: a.Disabled}, err
	}
	return Bearer{}, ErrNotFound
}

// Member is a person in an organization.
type Member struct {
	Stored

	ID          string        `json:"id"`
	UID         string        `json:"uid"`
	DisplayName string        `json:"display_name,omitempty"`
	Email       string        `json:"email"`
	Bindings    []RoleBinding `json:"bindings,omitempty"`
	CreateTime  time.Time     `json:"create_time"`
	UpdateTime  time.Time     `json:"update_time"`
}

// Invitation is an offer to become a member: never its secret.
type Invitation struct {
	Stored

	ID         string        `json:"id"`
	Hash       []byte        `json:"hash"` // SHA-256 of the secret
	Email      string        `json:"email"`
	Member     string        `json:"member"` // the id that the member is to have
	Bindings   []RoleBinding `json:"bindings"`
	Requester  string        `json:"requester"`
	CreateTime time.Time     `json:"create_time"`
	ExpireTime time.Time     `json:"expire_time"`
	AcceptTime time.Time     `json:"accept_time,omitzero"`
	RevokeTime time.Time     `json:"revoke_time,omitzero"`
}

// invitationRef says whose an invitation is.
type invitationRef struct {
	Stored
	Organization string `json:"organization"`
}

// Member reads one member.
func (v *View) Member(ctx context.Context, id string) (Member, error) {
	var m Member
	return m, v.load(ctx, v.orgKey("member/%s", id), &m)
}

// Members lists members by id.
func (v *View) Members(ctx context.Context, p Page) ([]Member, string, error) {
	return loadPage[Member](ctx, v, v.orgKey("member/"), p)
}

// AllMembers reads all members. A Tx that commits conflicts with whoever was
// added or changed meanwhile.
func (v *View) AllMembers(ctx context.Context) ([]Member, error) {
	return loadAll[Member](ctx, v, v.orgKey("member/"))
}

// CreateMember puts a new member.
func (t *Tx) CreateMember(ctx context.Context, m Member) error {
	return t.create(ctx, t.orgKey("member/%s", m.ID), m)
}

// PutMember replaces a member that was read.
func (t *Tx) PutMember(m Member) error { return t.put(t.orgKey("member/%s", m.ID), m) }

// DeleteMember removes a member and its keys.
func (t *Tx) DeleteMember(m Member, keys []APIKey) {
	t.remove(t.orgKey("member/%s", m.ID))
	t.remove(t.holderKey(Holder{Member: m.ID}))
	for _, k := range keys {
		t.removeKey(k)
	}
}

func (v *View) invitationKey(id string) string {
	return v.orgKey("invitation/%s", accounts.NewestFirst(id))
}

// Invitation reads one invitation.
func (v *View) Invitation(ctx context.Context, id string) (Invitation, error) {
	var i Invitation
	return i, v.load(ctx, v.invitationKey(id), &i)
}

// Invitations lists invitations, newest first.
func (v *View) Invitations(ctx context.Context, p Page) ([]Invitation, string, error) {
	return loadPage[Invitation](ctx, v, v.orgKey("invitation/"), p)
}

// AllInvitations reads all invitations, newest first. A Tx that commits
// conflicts with whichever was added or changed meanwhile.
func (v *View) AllInvitations(ctx context.Context) ([]Invitation, error) {
	return loadAll[Invitation](ctx, v, v.orgKey("invitation/"))
}

// InvitationOrganization says whose an invitation is. It is for the control
// plane's own use: who holds an invitation is not known to be of any
// organization yet.
func (s *Store) InvitationOrganization(ctx context.Context, id string) (string, error) {
	var r invitationRef
	return r.Organization, s.newView("").load(ctx, invitationIndexKey(id), &r)
}

// CreateInvitation puts a new invitation.
func (t *Tx) CreateInvitation(ctx context.Context, i Invitation) error {
	if err := t.create(ctx, t.invitationKey(i.ID), i); err != nil {
		return err
	}
	return t.put(invitationIndexKey(i.ID), invitationRef{Organization: t.org})
}

// PutInvitation replaces an invitation that was read.
func (t *Tx) PutInvitation(i Invitation) error { return t.put(t.invitationKey(i.ID), i) }

// ForgetInvitation removes the record of an invitation.
func (t *Tx) ForgetInvitation(id string) {
	t.remove(t.invitationKey(id))
	t.remove(invitationIndexKey(id))
}
