package api

import (
	"context"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

type shares struct {
	apiv1.UnimplementedShareServiceServer
	*Server
}

func shareState(s store.Share, now time.Time) apiv1.ShareState {
	return map[tenancy.ShareLife]apiv1.ShareState{
		tenancy.ShareOffered: apiv1.ShareState_SHARE_STATE_OFFERED, tenancy.ShareAccepted: apiv1.ShareState_SHARE_STATE_ACCEPTED,
		tenancy.ShareRejected: apiv1.ShareState_SHARE_STATE_REJECTED, tenancy.ShareRevoked: apiv1.ShareState_SHARE_STATE_REVOKED,
		tenancy.ShareExpired: apiv1.ShareState_SHARE_STATE_EXPIRED,
	}[tenancy.ShareLifeOf(s, now)]
}

func offerProto(s store.Share, now time.Time) *apiv1.ShareOffer {
	return &apiv1.ShareOffer{
		Name: tenancy.OfferName(s), TargetOrganization: tenancy.OrganizationName(s.TargetOrganization), Subject: s.Subject, Message: s.Message,
		State: shareState(s, now), CreateTime: timestamp(s.CreateTime), OfferExpireTime: timestamp(s.OfferExpireTime),
		AcceptTime: timestamp(s.AcceptTime), ExpireTime: timestamp(s.ExpireTime), EndTime: timestamp(s.EndTime),
		ImporterPublicKey: s.Importer, Etag: tenancy.Etag(s.Revision),
	}
}

func shareProto(s store.Share, now time.Time) *apiv1.Share {
	out := &apiv1.Share{
		Name: tenancy.ShareName(s.TargetOrganization, s.ID), SourceOrganization: tenancy.OrganizationName(s.Organization),
		ExporterPublicKey: s.Exporter, Subject: s.Subject, Type: exportTypeProto(s.Type), Message: s.Message, State: shareState(s, now),
		CreateTime: timestamp(s.CreateTime), OfferExpireTime: timestamp(s.OfferExpireTime), AcceptTime: timestamp(s.AcceptTime),
		ExpireTime: timestamp(s.ExpireTime), EndTime: timestamp(s.EndTime), Etag: tenancy.Etag(s.Revision),
	}
	if s.TargetAccount == "" {
		return out
	}
	out.Account = tenancy.AccountName(s.TargetOrganization, s.TargetAccount)
	for _, id := range s.Imports {
		out.Imports = append(out.Imports, tenancy.ImportName(s.TargetOrganization, s.TargetAccount, id))
	}
	return out
}

// CreateShareOffer implements apiv1.ShareServiceServer.
func (s *shares) CreateShareOffer(ctx context.Context, req *apiv1.CreateShareOfferRequest) (*apiv1.CreateShareOfferResponse, error) {
	n, err := parseName(req.GetParent())
	if err != nil {
		return nil, err
	}
	in := tenancy.NewOffer{
		Target: aboutOf(req.GetTargetOrganization()).Organization, Subject: req.GetSubject(), Message: req.GetMessage(),
		OfferTTL: seconds(req.GetOfferTtlSeconds()), ShareTTL: seconds(req.GetShareTtlSeconds()),
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.CreateShareOfferResponse, error) {
		share, err := s.tenancy.Offer(ctx, tx, n.account, n.export, in)
		if err != nil {
			return nil, err
		}
		return &apiv1.CreateShareOfferResponse{ShareOffer: offerProto(share, tx.Now)}, nil
	})
}

// GetShareOffer implements apiv1.ShareServiceServer.
func (s *shares) GetShareOffer(ctx context.Context, req *apiv1.GetShareOfferRequest) (*apiv1.GetShareOfferResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	share, err := v.Share(ctx, n.offer)
	if err != nil {
		return nil, err
	}
	if tenancy.OfferName(share) != req.GetName() {
		return nil, store.ErrNotFound
	}
	return &apiv1.GetShareOfferResponse{ShareOffer: offerProto(share, time.Now())}, nil
}

// ListShareOffers implements apiv1.ShareServiceServer.
func (s *shares) ListShareOffers(ctx context.Context, req *apiv1.ListShareOffersRequest) (*apiv1.ListShareOffersResponse, error) {
	list, next, err := listInAccount(ctx, s.Server, req, (*store.View).Offers, func(_ string, o store.Share) *apiv1.ShareOffer { return offerProto(o, time.Now()) })
	return &apiv1.ListShareOffersResponse{ShareOffers: list, NextPageToken: next}, err
}

// RevokeShareOffer implements apiv1.ShareServiceServer.
func (s *shares) RevokeShareOffer(ctx context.Context, req *apiv1.RevokeShareOfferRequest) (*apiv1.RevokeShareOfferResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.RevokeShareOfferResponse, error) {
		share, op, err := s.tenancy.RevokeOffer(ctx, tx, "RevokeShareOffer", n.account, n.export, n.offer, req.GetEtag())
		if err != nil {
			return nil, err
		}
		resp := &apiv1.RevokeShareOfferResponse{ShareOffer: offerProto(share, tx.Now)}
		if op != nil {
			resp.Operation = operationProto(n.organization, *op)
		}
		return resp, nil
	})
}

// GetShare implements apiv1.ShareServiceServer.
func (s *shares) GetShare(ctx context.Context, req *apiv1.GetShareRequest) (*apiv1.GetShareResponse, error) {
	v, n, err := s.view(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	share, err := v.Share(ctx, n.share)
	if err != nil {
		return nil, err
	}
	if share.TargetOrganization != n.organization {
		return nil, store.ErrNotFound
	}
	return &apiv1.GetShareResponse{Share: shareProto(share, time.Now())}, nil
}

// ListShares implements apiv1.ShareServiceServer.
func (s *shares) ListShares(ctx context.Context, req *apiv1.ListSharesRequest) (*apiv1.ListSharesResponse, error) {
	list, next, err := listInOrganization(ctx, s.Server, req, (*store.View).Received, func(_ string, o store.Share) *apiv1.Share { return shareProto(o, time.Now()) })
	return &apiv1.ListSharesResponse{Shares: list, NextPageToken: next}, err
}

// AcceptShare implements apiv1.ShareServiceServer.
func (s *shares) AcceptShare(ctx context.Context, req *apiv1.AcceptShareRequest) (*apiv1.AcceptShareResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	about := aboutOf(req.GetAccount())
	if about.Organization != n.organization {
		return nil, errs.New(errs.Precondition, "ACCOUNT_NOT_FOUND", "there is no account %q", req.GetAccount()).WithField("account")
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.AcceptShareResponse, error) {
		share, err := s.tenancy.AcceptShare(ctx, tx, n.share, req.GetEtag(), about.Account)
		if err != nil {
			return nil, err
		}
		return &apiv1.AcceptShareResponse{Share: shareProto(share, tx.Now)}, nil
	})
}

// RejectShare implements apiv1.ShareServiceServer.
func (s *shares) RejectShare(ctx context.Context, req *apiv1.RejectShareRequest) (*apiv1.RejectShareResponse, error) {
	n, err := parseName(req.GetName())
	if err != nil {
		return nil, err
	}
	return write(ctx, s.Server, req, n.organization, func(ctx context.Context, tx *store.Tx) (*apiv1.RejectShareResponse, error) {
		share, err := s.tenancy.RejectShare(ctx, tx, n.share, req.GetEtag())
		if err != nil {
			return nil, err
		}
		return &apiv1.RejectShareResponse{Share: shareProto(share, tx.Now)}, nil
	})
}
