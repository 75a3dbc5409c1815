package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/controlplane/internal/fleet"
	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

// Authority signs and is signed for: the fleet's.
type Authority interface {
	// JoinToken makes a secret with which one broker may enrol within ttl.
	JoinToken(ctx context.Context, ttl time.Duration) (fleet.JoinToken, error)
	// StageAuthority returns what is stored once there is another authority.
	StageAuthority(ctx context.Context, value string, now time.Time) (string, error)
	// CollectorCertificate signs for a collector.
	CollectorCertificate(ctx context.Context, name string, request []byte) (fleet.CollectorCertificate, error)
}

// fleetAuthorityService implements covey.admin.v1.FleetAuthorityService.
type fleetAuthorityService struct {
	adminv1.UnimplementedFleetAuthorityServiceServer
	*Server
}

// GetFleetAuthority implements covey.admin.v1.
func (s *fleetAuthorityService) GetFleetAuthority(ctx context.Context, _ *adminv1.GetFleetAuthorityRequest) (*adminv1.GetFleetAuthorityResponse, error) {
	v, err := s.store.View(callOf(ctx).principal.Scope(), "")
	if err != nil {
		return nil, err
	}
	value, err := v.FleetAuthority(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.authorities(ctx, v, value)
	return &adminv1.GetFleetAuthorityResponse{Authorities: all}, err
}

// RotateFleetAuthority implements covey.admin.v1.
func (s *fleetAuthorityService) RotateFleetAuthority(ctx context.Context, req *adminv1.RotateFleetAuthorityRequest) (*adminv1.RotateFleetAuthorityResponse, error) {
	return write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.RotateFleetAuthorityResponse, error) {
		all, err := s.change(ctx, tx, func(value string, _ []*adminv1.FleetAuthority) (string, error) {
			return s.authority.StageAuthority(ctx, value, tx.Now)
		})
		return &adminv1.RotateFleetAuthorityResponse{Authorities: all}, err
	})
}

// RetireFleetAuthority implements covey.admin.v1.
func (s *fleetAuthorityService) RetireFleetAuthority(ctx context.Context, req *adminv1.RetireFleetAuthorityRequest) (*adminv1.RetireFleetAuthorityResponse, error) {
	return write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.RetireFleetAuthorityResponse, error) {
		all, err := s.change(ctx, tx, func(value string, known []*adminv1.FleetAuthority) (string, error) {
			next, err := fleet.RetireAuthority(value, req.GetId())
			for _, a := range known {
				if err == nil && a.GetId() == req.GetId() && a.GetState() == adminv1.FleetAuthority_STATE_VERIFY_ONLY && len(a.GetWaiting()) > 0 && !req.GetForce() {
					err = errs.New(errs.Precondition, "AUTHORITY_IN_USE", "certificates of %s depend on the authority", strings.Join(a.GetWaiting(), ", ")).WithField("id").
						WithNext("brokers renew by themselves within seconds, those of an older version do not; collectors need a new certificate; or force, and they have to enrol anew")
				}
			}
			return next, err
		})
		return &adminv1.RetireFleetAuthorityResponse{Authorities: all}, err
	})
}

// change replaces the stored authorities, and returns what they are then.
func (s *fleetAuthorityService) change(ctx context.Context, tx *store.Tx, f func(value string, known []*adminv1.FleetAuthority) (string, error)) ([]*adminv1.FleetAuthority, error) {
	value, err := tx.FleetAuthority(ctx)
	if err != nil {
		return nil, err
	}
	known, err := s.authorities(ctx, tx.View, value)
	if err != nil {
		return nil, err
	}
	if value, err = f(value, known); err != nil {
		return nil, err
	}
	tx.PutFleetAuthority(value)
	return s.authorities(ctx, tx.View, value)
}

// IssueCollectorCertificate implements covey.admin.v1.
func (s *fleetAuthorityService) IssueCollectorCertificate(ctx context.Context, req *adminv1.IssueCollectorCertificateRequest) (*adminv1.IssueCollectorCertificateResponse, error) {
	return write(ctx, s.Server, req, "", func(ctx context.Context, tx *store.Tx) (*adminv1.IssueCollectorCertificateResponse, error) {
		signed, err := s.authority.CollectorCertificate(ctx, req.GetCollector(), req.GetCertificateRequest())
		if err != nil {
			return nil, err
		}
		resp := &adminv1.IssueCollectorCertificateResponse{Roots: signed.Roots, ExpireTime: timestamppb.New(signed.Expires)}
		if !req.GetValidateOnly() {
			resp.CertificateChain = signed.Chain // a dry run makes nothing that is good
		}
		return resp, tx.PutCollector(store.Collector{Name: req.GetCollector(), Authority: signed.Authority, ExpireTime: signed.Expires})
	})
}

// authorities shows stored authorities, and who depends on which.
func (s *fleetAuthorityService) authorities(ctx context.Context, v *store.View, value string) ([]*adminv1.FleetAuthority, error) {
	all, err := fleet.Authorities(value)
	if err != nil {
		return nil, err
	}
	brokers, err := s.fleet.Brokers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read brokers: %w", err)
	}
	collectors, err := v.Collectors(ctx)
	if err != nil {
		return nil, err
	}
	states := map[fleet.AuthorityState]adminv1.FleetAuthority_State{
		fleet.AuthorityStaged: adminv1.FleetAuthority_STATE_STAGED, fleet.AuthorityActive: adminv1.FleetAuthority_STATE_ACTIVE,
		fleet.AuthorityVerifyOnly: adminv1.FleetAuthority_STATE_VERIFY_ONLY,
	}
	now := time.Now()
	var out []*adminv1.FleetAuthority
	for _, a := range all {
		out = append(out, &adminv1.FleetAuthority{
			Id: a.ID, State: states[a.State], StateTime: timestamppb.New(a.Since), ExpireTime: timestamppb.New(a.Expires),
			Waiting: waitingFor(a, brokers, collectors, now),
		})
	}
	return out, nil
}

func waitingFor(a fleet.Authority, brokers []operation.Broker, collectors []store.Collector, now time.Time) (names []string) {
	for _, b := range brokers {
		if !b.Leased && (b.Exited || !now.Before(b.ServeUntil)) || b.Revoked {
			continue
		}
		switch {
		case a.State == fleet.AuthorityStaged && !slices.Contains(b.Authorities, a.ID),
			a.State == fleet.AuthorityVerifyOnly && (len(b.Authorities) == 0 || b.Authorities[0] == a.ID):
			names = append(names, "broker "+b.ServerName)
		}
	}
	for _, c := range collectors {
		if a.State == fleet.AuthorityVerifyOnly && c.Authority == a.ID && now.Before(c.ExpireTime) {
			names = append(names, "collector "+c.Name)
		}
	}
	return names
}
