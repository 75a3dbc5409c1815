package controlplane

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/coveymq/covey/controlplane/internal/fleet"
	"github.com/coveymq/covey/controlplane/internal/store"
)

const authorityEvery = time.Second // how often is looked whether a CA may sign by now

// fleetAuthority signs for the API.
type fleetAuthority struct{ *Server }

// JoinToken makes a secret with which one broker may enrol within ttl.
func (f fleetAuthority) JoinToken(ctx context.Context, ttl time.Duration) (fleet.JoinToken, error) {
	return f.fleet.JoinToken(ctx, ttl)
}

// StageAuthority makes the fleet's next CA.
func (f fleetAuthority) StageAuthority(ctx context.Context, value string, now time.Time) (string, error) {
	return fleet.StageAuthority(ctx, value, f.custody.Row(custodyOfFleet), now)
}

// CollectorCertificate signs for a collector of usage.
func (f fleetAuthority) CollectorCertificate(ctx context.Context, name string, request []byte) (fleet.CollectorCertificate, error) {
	return f.fleet.CollectorCertificate(ctx, name, request)
}

// activateFleetAuthority lets a CA sign once all brokers that are there trust it.
func (s *Server) activateFleetAuthority(ctx context.Context) error {
	v, err := s.store.View(store.Everything(), "")
	if err != nil {
		return err
	}
	value, err := v.FleetAuthority(ctx)
	if err != nil {
		return fmt.Errorf("read fleet ca: %w", err)
	}
	all, err := fleet.Authorities(value)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(a fleet.Authority) bool { return a.State == fleet.AuthorityStaged })
	if i < 0 {
		return nil
	}
	known, err := s.fleet.Brokers(ctx)
	if err != nil {
		return fmt.Errorf("read brokers: %w", err)
	}
	for _, b := range known {
		if b.Leased && !b.Revoked && !slices.Contains(b.Authorities, all[i].ID) {
			return nil
		}
	}
	change := store.Change{Scope: store.Everything(), Actor: "system", Method: "ActivateFleetAuthority", Target: "fleet/authority", Reason: all[i].ID}
	_, _, err = store.Update(ctx, s.store, change, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
		value, err := tx.FleetAuthority(ctx)
		if err != nil {
			return struct{}{}, store.Outcome{}, err
		}
		value, err = fleet.ActivateAuthority(value, tx.Now)
		if err == nil {
			tx.PutFleetAuthority(value)
		}
		return struct{}{}, store.Outcome{}, err
	})
	return err
}
