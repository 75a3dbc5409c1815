package tenancy

import (
	"context"
	"crypto/subtle"
	"errors"
	"strings"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

const (
	invitationsPendingMax = 100 // of one organization
	invitationsKept       = 200 // with those that ended

	invitationTTLDefault = 7 * 24 * time.Hour
	invitationTTLMax     = 30 * 24 * time.Hour
)

// InvitationLife is where an invitation is in its life.
type InvitationLife int

// The states of an invitation.
const (
	InvitationPending InvitationLife = iota
	InvitationAccepted
	InvitationRevoked
	InvitationExpired
)

// InvitationLifeOf computes the state of an invitation.
func InvitationLifeOf(i store.Invitation, now time.Time) InvitationLife {
	switch {
	case !i.AcceptTime.IsZero():
		return InvitationAccepted
	case !i.RevokeTime.IsZero():
		return InvitationRevoked
	case !now.Before(i.ExpireTime):
		return InvitationExpired
	}
	return InvitationPending
}

// NewInvitation says whom to invite.
type NewInvitation struct {
	Email    string
	Member   string // the id that it is to have
	Bindings []store.RoleBinding
	TTL      time.Duration // zero: invitationTTLDefault
}

// Invited is a new invitation.
type Invited struct {
	Invitation store.Invitation
	Token      authn.Token // secret
}

// InvitationName returns the resource name of an invitation.
func InvitationName(organization, id string) string {
	return OrganizationName(organization) + "/invitations/" + id
}

// Invite makes an invitation.
func (s *Service) Invite(ctx context.Context, tx *store.Tx, by Caller, in NewInvitation) (Invited, error) {
	if err := accounts.ValidateMemberID(in.Member); err != nil {
		return Invited{}, err
	}
	if in.TTL == 0 {
		in.TTL = invitationTTLDefault
	}
	if in.TTL < time.Second || in.TTL > invitationTTLMax {
		return Invited{}, errs.New(errs.Invalid, "INVALID_TTL", "an invitation lives between a second and %d days", invitationTTLMax/(24*time.Hour)).
			WithField("ttl_seconds")
	}
	if _, err := tx.Org(ctx); err != nil {
		return Invited{}, err
	}
	if err := validateBindings(ctx, tx, "role_bindings", in.Bindings); err != nil {
		return Invited{}, err
	}
	if err := by.mayGrant(in.Bindings); err != nil {
		return Invited{}, err
	}
	if err := refuseMember(ctx, tx, in); err != nil {
		return Invited{}, err
	}
	if err := makeInvitationRoom(ctx, tx, in); err != nil {
		return Invited{}, err
	}
	token, id, hash := authn.NewInvitation(time.Now())
	i := store.Invitation{
		ID: id, Hash: hash, Email: in.Email, Member: in.Member, Bindings: in.Bindings, Requester: by.Key,
		CreateTime: tx.Now, ExpireTime: tx.Now.Add(in.TTL),
	}
	return Invited{Invitation: i, Token: token}, tx.CreateInvitation(ctx, i)
}

// refuseMember refuses to invite who is a member already, by id or address.
func refuseMember(ctx context.Context, tx *store.Tx, in NewInvitation) error {
	members, err := tx.AllMembers(ctx)
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.ID == in.Member {
			return taken("MEMBER_EXISTS", "member_id", MemberName(tx.Organization(), m.ID))
		}
		if strings.EqualFold(m.Email, in.Email) {
			return errs.New(errs.Exists, "MEMBER_EXISTS", "%s is the member %q", in.Email, m.ID).WithField("email").
				WithNext("change its roles instead; to give it a new key, remove it and invite it again")
		}
	}
	return nil
}

// makeInvitationRoom keeps the invitations of an organization bounded: it
// forgets the oldest that ended, and refuses when too many are pending, or one
// is for the same person.
func makeInvitationRoom(ctx context.Context, tx *store.Tx, in NewInvitation) error {
	all, err := tx.AllInvitations(ctx) // newest first
	if err != nil {
		return err
	}
	pending := 0
	var ended []string
	for _, i := range all {
		if InvitationLifeOf(i, tx.Now) != InvitationPending {
			ended = append(ended, i.ID)
			continue
		}
		pending++
		if i.Member == in.Member || strings.EqualFold(i.Email, in.Email) {
			return errs.New(errs.Exists, "INVITATION_EXISTS", "%s, for %s, is not accepted yet", InvitationName(tx.Organization(), i.ID), i.Email).
				WithField("email").WithNext("revoke that one first")
		}
	}
	if pending >= invitationsPendingMax {
		return errs.New(errs.Exhausted, "INVITATION_QUOTA", "%d invitations are not accepted yet, and no more are allowed", pending).
			WithNext("revoke some, or let them expire")
	}
	for surplus := len(all) + 1 - invitationsKept; surplus > 0 && len(ended) > 0; surplus-- {
		tx.ForgetInvitation(ended[len(ended)-1])
		ended = ended[:len(ended)-1]
	}
	return nil
}

// ErrInvitation means that a token is none of an invitation that is there. It
// never says what is wrong with it.
var ErrInvitation = errs.New(errs.Unauthenticated, "INVITATION_INVALID", "the invitation's token is not valid").WithField("token").
	WithNext("check that it is complete, or ask for another invitation")

// Acceptance is an accepted invitation.
type Acceptance struct {
	Member store.Member
	Made   MadeKey
}

// Accept makes the holder of an invitation's token a member with a key.
func (s *Service) Accept(ctx context.Context, tx *store.Tx, id string, hash []byte, displayName string, keyTTL time.Duration) (Acceptance, error) {
	if err := accounts.ValidateDisplayName("display_name", displayName); err != nil {
		return Acceptance{}, err
	}
	i, err := tx.Invitation(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && subtle.ConstantTimeCompare(hash, i.Hash) != 1 {
		return Acceptance{}, ErrInvitation
	}
	if err != nil {
		return Acceptance{}, err
	}
	if err := wantPending(i, tx.Now); err != nil {
		return Acceptance{}, err
	}
	if err := validateBindings(ctx, tx, "token", i.Bindings); err != nil {
		return Acceptance{}, err
	}
	m, err := newMember(ctx, tx, i.Member, i.Email, MemberFields{DisplayName: displayName, Bindings: i.Bindings})
	if err != nil {
		return Acceptance{}, err
	}
	made, err := makeKey(ctx, tx, Caller{Key: i.ID}, store.Holder{Member: m.ID}, NewKey{DisplayName: "invitation", TTL: keyTTL})
	if err != nil {
		return Acceptance{}, err
	}
	i.AcceptTime = tx.Now
	return Acceptance{Member: m, Made: made}, tx.PutInvitation(i)
}

func wantPending(i store.Invitation, now time.Time) error {
	state := map[InvitationLife]string{InvitationAccepted: "accepted", InvitationRevoked: "revoked", InvitationExpired: "expired"}[InvitationLifeOf(i, now)]
	if state == "" {
		return nil
	}
	return errs.New(errs.Precondition, "INVITATION_NOT_PENDING", "the invitation is %s", state).WithNext("ask for another one")
}

// RevokeInvitation ends an invitation that is not accepted yet.
func (s *Service) RevokeInvitation(ctx context.Context, tx *store.Tx, by Caller, id, etag string) (store.Invitation, error) {
	i, err := tx.Invitation(ctx, id)
	if err != nil {
		return store.Invitation{}, err
	}
	if err := checkEtag(etag, i.Revision); err != nil {
		return store.Invitation{}, err
	}
	if err := by.mayGrant(i.Bindings); err != nil {
		return store.Invitation{}, err
	}
	if err := wantPending(i, tx.Now); err != nil {
		return store.Invitation{}, err
	}
	i.RevokeTime = tx.Now
	return i, tx.PutInvitation(i)
}
