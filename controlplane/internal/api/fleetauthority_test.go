package api

import (
	"slices"
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane/internal/fleet"
	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// Who depends on an authority is named: whoever may serve, and whoever does not
// say what it trusts.
func TestWhoWaitsForAnAuthority(t *testing.T) {
	now := time.Now()
	brokers := []operation.Broker{
		{ServerName: "renewed", Leased: true, Authorities: []string{"new", "old"}},
		{ServerName: "trusts", Leased: true, Authorities: []string{"old", "new"}},
		{ServerName: "knows not", Leased: true, Authorities: []string{"old"}},
		{ServerName: "silent", Leased: true},
		{ServerName: "away", ServeUntil: now.Add(time.Hour), Authorities: []string{"old"}},
		{ServerName: "gone", ServeUntil: now.Add(-time.Hour), Authorities: []string{"old"}},
		{ServerName: "exited", Exited: true, ServeUntil: now.Add(time.Hour), Authorities: []string{"old"}},
		{ServerName: "revoked", Leased: true, Revoked: true, Authorities: []string{"old"}},
	}
	collectors := []store.Collector{
		{Name: "old", Authority: "old", ExpireTime: now.Add(time.Hour)},
		{Name: "new", Authority: "new", ExpireTime: now.Add(time.Hour)},
		{Name: "expired", Authority: "old", ExpireTime: now.Add(-time.Hour)},
	}
	for _, c := range []struct {
		of   fleet.Authority
		want []string
	}{
		{fleet.Authority{ID: "new", State: fleet.AuthorityStaged}, []string{"broker knows not", "broker silent", "broker away"}},
		{fleet.Authority{ID: "old", State: fleet.AuthorityVerifyOnly}, []string{"broker trusts", "broker knows not", "broker silent", "broker away", "collector old"}},
		{fleet.Authority{ID: "old", State: fleet.AuthorityActive}, nil},
	} {
		if got := waitingFor(c.of, brokers, collectors, now); !slices.Equal(got, c.want) {
			t.Errorf("for one that is %s wait %q, want %q", c.of.State, got, c.want)
		}
	}
}
