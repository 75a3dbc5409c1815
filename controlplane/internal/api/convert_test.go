package api

import (
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func TestACredentialThatEndsSoonSaysSo(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Now()
	for _, tt := range []struct {
		life tenancy.CredentialLife
		left time.Duration
		want apiv1.Credential_State
	}{
		{tenancy.Active, 40 * day, apiv1.Credential_STATE_ACTIVE},
		{tenancy.Active, 29 * day, apiv1.Credential_STATE_EXPIRING},
		{tenancy.Superseded, 29 * day, apiv1.Credential_STATE_SUPERSEDED},
		{tenancy.Revoked, 29 * day, apiv1.Credential_STATE_REVOKED},
		{tenancy.Expired, -day, apiv1.Credential_STATE_EXPIRED},
	} {
		c := store.Credential{IssueTime: now.Add(-100 * day), ExpireTime: now.Add(tt.left)}
		if got := credentialProto("acme", c, tt.life).GetState(); got != tt.want {
			t.Errorf("life %v with %v left is shown as %v, want %v", tt.life, tt.left, got, tt.want)
		}
	}
}
