package tenancy

import (
	"context"
	"errors"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

const (
	offerTTLDefault = 7 * 24 * time.Hour
	offerTTLMax     = 30 * 24 * time.Hour
)

// ShareLife is where an agreement is in its life.
type ShareLife int

// The states of an agreement.
const (
	ShareOffered ShareLife = iota
	ShareAccepted
	ShareRejected
	ShareRevoked
	ShareExpired
)

// ShareLifeOf computes the state of an agreement.
func ShareLifeOf(s store.Share, now time.Time) ShareLife {
	switch {
	case !s.EndTime.IsZero() && s.Revoked:
		return ShareRevoked
	case !s.EndTime.IsZero():
		return ShareRejected
	case s.AcceptTime.IsZero() && !now.Before(s.OfferExpireTime), !s.ExpireTime.IsZero() && !now.Before(s.ExpireTime):
		return ShareExpired
	case s.AcceptTime.IsZero():
		return ShareOffered
	}
	return ShareAccepted
}

func (l ShareLife) over() bool { return l != ShareOffered && l != ShareAccepted }

// notAccepted says what a share is that cannot be imported.
func notAccepted(l ShareLife) string {
	return map[ShareLife]string{
		ShareOffered: "not accepted", ShareAccepted: "not accepted", ShareRejected: "ended", ShareRevoked: "revoked", ShareExpired: "expired",
	}[l]
}

// NewOffer says what to offer to whom.
type NewOffer struct {
	Target   string // organization
	Subject  string // "" is all of the export
	Message  string
	OfferTTL time.Duration // zero: offerTTLDefault
	ShareTTL time.Duration // zero: no end
}

// OfferName returns the resource name of an agreement on its exporter's side.
func OfferName(s store.Share) string {
	return ExportName(s.Organization, s.Account, s.Export) + "/offers/" + s.ID
}

// ShareName returns the resource name of an agreement on the other side.
func ShareName(organization, id string) string {
	return OrganizationName(organization) + "/shares/" + id
}

// Offer offers an export. Whether there is such an organization makes no
// difference to the answer.
func (s *Service) Offer(ctx context.Context, tx *store.Tx, account, export string, in NewOffer) (store.Share, error) {
	if err := accounts.ValidateOrganizationID(in.Target); err != nil {
		return store.Share{}, err
	}
	a, e, err := s.exportToChange(ctx, tx, account, export, "")
	if err != nil {
		return store.Share{}, err
	}
	if in.Subject == "" {
		in.Subject = e.Subject
	}
	probe := exportSpec(e)
	probe.Subject = in.Subject
	if err := probe.Validate("share_offer"); err != nil {
		return store.Share{}, err
	}
	if !accounts.Contains(e.Subject, in.Subject) {
		return store.Share{}, errs.New(errs.Invalid, "INVALID_SHARE", "%q is not within %q, which is what is exported", in.Subject, e.Subject).WithField("subject")
	}
	if in.OfferTTL == 0 {
		in.OfferTTL = offerTTLDefault
	}
	if in.OfferTTL < time.Second || in.OfferTTL > offerTTLMax {
		return store.Share{}, errs.New(errs.Invalid, "INVALID_TTL", "an offer lives between a second and %d days", offerTTLMax/(24*time.Hour)).WithField("offer_ttl_seconds")
	}
	if err := accounts.ValidateTTL("share_ttl_seconds", in.ShareTTL); err != nil {
		return store.Share{}, err
	}
	if err := makeOfferRoom(ctx, tx, account); err != nil {
		return store.Share{}, err
	}
	share := store.Share{
		ID: accounts.NewUID(accounts.PrefixShare, time.Now()), Organization: tx.Organization(), Account: account, Export: export,
		Exporter: a.PublicKey, TargetOrganization: in.Target, Subject: in.Subject, Type: e.Type, Message: in.Message,
		TTLSeconds: int64(in.ShareTTL / time.Second), CreateTime: tx.Now, OfferExpireTime: tx.Now.Add(in.OfferTTL),
	}
	return share, tx.CreateShare(ctx, share)
}

// makeOfferRoom keeps the offers of an account bounded: it forgets the oldest
// that is over.
func makeOfferRoom(ctx context.Context, tx *store.Tx, account string) error {
	all, err := tx.AllOffers(ctx, account)
	if err != nil {
		return err
	}
	if len(all) < offersMax {
		return nil
	}
	for n := len(all) - 1; n >= 0; n-- {
		if ShareLifeOf(all[n], tx.Now).over() {
			tx.ForgetShare(all[n])
			return nil
		}
	}
	return errs.New(errs.Exhausted, "OFFER_QUOTA", "the account %q has %d offers that are not over, and no more are allowed", account, len(all)).
		WithNext("revoke one, or let it expire")
}

// RevokeOffer ends an agreement from its exporter's side. The operation is nil
// when nobody had accepted.
func (s *Service) RevokeOffer(ctx context.Context, tx *store.Tx, method, account, export, id, etag string) (store.Share, *store.Operation, error) {
	share, err := tx.Share(ctx, id)
	if err != nil {
		return store.Share{}, nil, err
	}
	if share.Organization != tx.Organization() || share.Account != account || share.Export != export {
		return store.Share{}, nil, store.ErrNotFound
	}
	if err := checkEtag(etag, share.Revision); err != nil {
		return store.Share{}, nil, err
	}
	life := ShareLifeOf(share, tx.Now)
	if life.over() {
		return store.Share{}, nil, shareOver(share, life)
	}
	share.EndTime, share.Revoked = tx.Now, true
	if err := tx.PutShare(share); err != nil || life == ShareOffered {
		return share, nil, err
	}
	a, e, err := s.exportToChange(ctx, tx, account, export, "")
	if err != nil {
		return store.Share{}, nil, err
	}
	if e, err = revokeActivation(e, share.Importer, share.Issued, tx.Now); err != nil {
		return store.Share{}, nil, err
	}
	if err := tx.PutExport(e); err != nil {
		return store.Share{}, nil, err
	}
	operation, err := s.republish(ctx, tx, method, OfferName(share), a, shareChange{export: &e})
	return share, &operation, err
}

func shareOver(s store.Share, life ShareLife) error {
	return errs.New(errs.Precondition, "SHARE_OVER", "the share %q is %s", s.ID, notAccepted(life)).WithNext("it takes another offer")
}

// received reads an agreement on the side that it was offered to.
func received(ctx context.Context, tx *store.Tx, id, etag string) (store.Share, ShareLife, error) {
	share, err := tx.Share(ctx, id)
	if err != nil {
		return store.Share{}, 0, err
	}
	if share.TargetOrganization != tx.Organization() {
		return store.Share{}, 0, store.ErrNotFound
	}
	return share, ShareLifeOf(share, tx.Now), checkEtag(etag, share.Revision)
}

// AcceptShare takes an offer for an account.
func (s *Service) AcceptShare(ctx context.Context, tx *store.Tx, id, etag, account string) (store.Share, error) {
	share, life, err := received(ctx, tx, id, etag)
	if err != nil {
		return store.Share{}, err
	}
	switch {
	case life == ShareAccepted:
		return store.Share{}, errs.New(errs.Precondition, "SHARE_ACCEPTED", "the share is accepted for the account %q", share.TargetAccount).
			WithNext("end it, and ask for another offer, to use it elsewhere")
	case life.over():
		return store.Share{}, shareOver(share, life)
	}
	a, err := liveAccount(ctx, tx, account)
	if errors.Is(err, store.ErrNotFound) {
		err = errs.New(errs.Precondition, "ACCOUNT_NOT_FOUND", "there is no account %q", account).WithField("account")
	}
	if err != nil {
		return store.Share{}, err
	}
	if a.PublicKey == share.Exporter {
		return store.Share{}, errs.New(errs.Invalid, "INVALID_SHARE", "an account cannot import from itself").WithField("account")
	}
	exporter, e, err := offered(ctx, tx, share)
	if err != nil {
		return store.Share{}, err
	}
	share.TargetAccount, share.Importer, share.AcceptTime = a.ID, a.PublicKey, tx.Now
	if share.TTLSeconds > 0 {
		share.ExpireTime = tx.Now.Add(time.Duration(share.TTLSeconds) * time.Second)
	}
	share.Activation, share.Issued, err = s.activate(ctx, exporter, e, accounts.Activation{
		Importer: a.PublicKey, Exporter: exporter.PublicKey, Subject: share.Subject, Type: share.Type, Expires: share.ExpireTime,
	}, tx.Now)
	if err != nil {
		return store.Share{}, err
	}
	return share, tx.PutShare(share)
}

// offered reads what an offer is about, as long as it is there.
func offered(ctx context.Context, tx *store.Tx, share store.Share) (store.Account, store.Export, error) {
	a, e, err := tx.ExporterOf(ctx, share)
	gone := errors.Is(err, store.ErrNotFound)
	if err == nil {
		gone = a.Deleted() || a.PublicKey != share.Exporter || e.Type != share.Type || !accounts.Contains(e.Subject, share.Subject)
	}
	if gone {
		err = errs.New(errs.Precondition, "SHARE_OVER", "what was offered is there no more").WithNext("ask for another offer")
	}
	return a, e, err
}

// RejectShare declines an offer, or ends what came of it.
func (s *Service) RejectShare(ctx context.Context, tx *store.Tx, id, etag string) (store.Share, error) {
	share, life, err := received(ctx, tx, id, etag)
	if err != nil {
		return store.Share{}, err
	}
	if life.over() {
		return store.Share{}, shareOver(share, life)
	}
	for _, name := range share.Imports {
		i, err := tx.Import(ctx, share.TargetAccount, name)
		if err == nil && i.Share == share.ID {
			return store.Share{}, errs.New(errs.Precondition, "SHARE_IN_USE", "%s uses the share", ImportName(tx.Organization(), share.TargetAccount, name)).
				WithNext("delete the import first")
		}
		if ignoreForgotten(err) != nil {
			return store.Share{}, err
		}
	}
	share.EndTime = tx.Now
	return share, tx.PutShare(share)
}

// endSharing ends what an account shares, because the account ends.
func endSharing(ctx context.Context, tx *store.Tx, account string) error {
	offers, err := tx.AllOffers(ctx, account)
	if err != nil {
		return err
	}
	for _, o := range offers {
		if ShareLifeOf(o, tx.Now).over() {
			continue
		}
		o.EndTime, o.Revoked = tx.Now, true
		if err := tx.PutShare(o); err != nil {
			return err
		}
	}
	imports, err := tx.AllImports(ctx, account)
	if err != nil {
		return err
	}
	for _, i := range imports {
		tx.DeleteImport(i)
	}
	return nil
}
