package api

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func organizationProto(o store.Organization) *apiv1.Organization {
	state := apiv1.Organization_STATE_ACTIVE
	if o.Suspended {
		state = apiv1.Organization_STATE_SUSPENDED
	}
	switch {
	case o.Ended:
		state = apiv1.Organization_STATE_DELETED
	case o.Closing():
		state = apiv1.Organization_STATE_CLOSING
	}
	return &apiv1.Organization{
		Name: tenancy.OrganizationName(o.ID), Uid: o.UID, DisplayName: o.DisplayName, ContactEmail: o.ContactEmail,
		State: state, SuspendReason: o.SuspendReason, SuspendTime: timestamp(o.SuspendTime), CreateTime: timestamp(o.CreateTime), UpdateTime: timestamp(o.UpdateTime),
		CloseTime: timestamp(o.CloseTime), PurgeTime: timestamp(o.PurgeTime), Etag: tenancy.Etag(o.Revision),
	}
}

func accountProto(organization string, a store.Account) *apiv1.Account {
	state := apiv1.Account_STATE_ACTIVE
	if a.Suspended {
		state = apiv1.Account_STATE_SUSPENDED
	}
	if a.Deleted() {
		state = apiv1.Account_STATE_DELETED
	}
	return &apiv1.Account{
		Name: tenancy.AccountName(organization, a.ID), Uid: a.UID, DisplayName: a.DisplayName, PublicKey: a.PublicKey, State: state,
		Limits: limitsProto(a.Limits), DefaultCredentialTtlSeconds: a.CredentialTTLSeconds, DeleteProtection: a.DeleteProtection,
		Revision: a.ClaimsRevision, CreateTime: timestamp(a.CreateTime), UpdateTime: timestamp(a.UpdateTime), Etag: tenancy.Etag(a.Revision),
		DeleteTime: timestamp(a.DeleteTime), PurgeTime: timestamp(a.PurgeTime), AuthCallout: calloutProto(a.AuthCallout),
	}
}

func calloutProto(c *accounts.Callout) *apiv1.AuthCallout {
	if c == nil {
		return nil
	}
	return &apiv1.AuthCallout{UserPublicKeys: c.Users, AllowedAccountPublicKeys: c.Accounts, Xkey: c.XKey, IssuerPublicKeys: c.Issuers}
}

func calloutFrom(c *apiv1.AuthCallout) *accounts.Callout {
	if c == nil {
		return nil
	}
	return &accounts.Callout{Users: c.GetUserPublicKeys(), Accounts: c.GetAllowedAccountPublicKeys(), XKey: c.GetXkey(), Issuers: c.GetIssuerPublicKeys()}
}

func limitsProto(l accounts.Limits) *apiv1.Limits {
	out := &apiv1.Limits{
		Connections: l.Connections, Subscriptions: l.Subscriptions, PayloadBytes: l.PayloadBytes,
		LeafNodes: l.LeafNodes, DataBytes: l.DataBytes,
	}
	for _, f := range quotaFields(out) {
		if q, ok := l.Quotas[f.name]; ok {
			*f.value = quotaProto(q)
		}
	}
	return out
}

// userLimitsProto is limitsProto for users and roles, most of which have none.
func userLimitsProto(l accounts.Limits) *apiv1.Limits {
	if l.Equal(accounts.Limits{}) {
		return nil
	}
	return limitsProto(l)
}

func limitsFrom(l *apiv1.Limits) accounts.Limits {
	if l == nil {
		return accounts.Limits{}
	}
	out := accounts.Limits{
		Connections: l.Connections, Subscriptions: l.Subscriptions, PayloadBytes: l.PayloadBytes,
		LeafNodes: l.LeafNodes, DataBytes: l.DataBytes,
	}
	for _, f := range quotaFields(l) {
		if *f.value == nil {
			continue
		}
		if out.Quotas == nil {
			out.Quotas = make(accounts.Quotas)
		}
		out.Quotas[f.name] = quotaFrom(f.name, *f.value)
	}
	return out
}

func userProto(organization string, u store.User) *apiv1.User {
	out := &apiv1.User{
		Name: tenancy.UserName(organization, u.Account, u.ID), Uid: u.UID, DisplayName: u.DisplayName, Role: u.Role,
		CreateTime: timestamp(u.CreateTime), UpdateTime: timestamp(u.UpdateTime), Etag: tenancy.Etag(u.Revision),
		Limits: userLimitsProto(u.Limits),
	}
	out.State = apiv1.User_STATE_ACTIVE
	if u.Suspended {
		out.State = apiv1.User_STATE_SUSPENDED
	}
	if u.Permissions != nil {
		out.Permissions = permissionsProto(*u.Permissions)
	}
	return out
}

func permissionsProto(p accounts.Permissions) *apiv1.Permissions {
	out := &apiv1.Permissions{
		Publish:   &apiv1.SubjectRules{Allow: p.Publish.Allow, Deny: p.Publish.Deny},
		Subscribe: &apiv1.SubjectRules{Allow: p.Subscribe.Allow, Deny: p.Subscribe.Deny},
	}
	if r := p.Responses; r != nil {
		out.Responses = &apiv1.ResponsePermission{
			MaxMessages: int32(r.MaxMessages), TtlSeconds: int64(r.TTL / time.Second), //nolint:gosec // validated
		}
	}
	return out
}

func permissionsFrom(p *apiv1.Permissions) *accounts.Permissions {
	if p == nil {
		return nil
	}
	out := &accounts.Permissions{
		Publish:   accounts.Rules{Allow: p.GetPublish().GetAllow(), Deny: p.GetPublish().GetDeny()},
		Subscribe: accounts.Rules{Allow: p.GetSubscribe().GetAllow(), Deny: p.GetSubscribe().GetDeny()},
	}
	if r := p.GetResponses(); r != nil {
		out.Responses = &accounts.Responses{MaxMessages: int(r.GetMaxMessages()), TTL: seconds(r.GetTtlSeconds())}
	}
	return out
}

// seconds makes a duration of seconds that saturates instead of overflowing;
// what is that long is refused by whoever validates it.
func seconds(n int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Second)
	return time.Duration(min(max(n, -most), most)) * time.Second
}

func credentialProto(organization string, c store.Credential, life tenancy.CredentialLife) *apiv1.Credential {
	state := map[tenancy.CredentialLife]apiv1.Credential_State{
		tenancy.Active:  apiv1.Credential_STATE_ACTIVE,
		tenancy.Expired: apiv1.Credential_STATE_EXPIRED,
		tenancy.Revoked: apiv1.Credential_STATE_REVOKED,

		tenancy.Superseded:    apiv1.Credential_STATE_SUPERSEDED,
		tenancy.IssuerRetired: apiv1.Credential_STATE_ISSUER_RETIRED,
	}[life]
	if life == tenancy.Active && accounts.ExpiryNotice(c.IssueTime, c.ExpireTime, time.Now()) != 0 {
		state = apiv1.Credential_STATE_EXPIRING
	}
	return &apiv1.Credential{
		Name: tenancy.CredentialName(organization, c), Uid: c.ID, PublicKey: c.PublicKey, TokenId: c.TokenID, IssuerKey: c.IssuerKey,
		State: state, IssueTime: timestamp(c.IssueTime), ExpireTime: timestamp(c.ExpireTime), RevokeTime: timestamp(c.RevokeTime),
		Requester: c.Requester, Etag: tenancy.Etag(c.Revision), LastSeenTime: timestamp(c.SeenTime),
	}
}

func operationProto(organization string, o store.Operation) *apiv1.Operation {
	return &apiv1.Operation{
		Name: tenancy.OrganizationName(organization) + "/operations/" + o.ID, Method: o.Method, Target: o.Target,
		Revision: o.Revision, CreateTime: timestamp(o.CreateTime), State: apiv1.Operation_STATE_RUNNING, Spreading: o.Spreading,
	}
}

// fillOperation puts into an operation how far it is.
func fillOperation(op *apiv1.Operation, brokers []operation.Broker) {
	state := operation.StateOf(brokers, op.GetRevision(), time.Now())
	if op.GetSpreading() {
		state = operation.Running
	}
	op.State = map[operation.State]apiv1.Operation_State{
		operation.Running:  apiv1.Operation_STATE_RUNNING,
		operation.Enforced: apiv1.Operation_STATE_ENFORCED,
		operation.Done:     apiv1.Operation_STATE_DONE,
	}[state]
	op.SuggestedPollDelay = durationpb.New(operation.PollDelay(state))
	op.Brokers = make([]*apiv1.BrokerProgress, len(brokers))
	for i, b := range brokers {
		op.Brokers[i] = &apiv1.BrokerProgress{
			Broker: b.ID, DisplayName: b.ServerName, Acknowledged: b.AckedRevision >= op.GetRevision() && !op.GetSpreading(),
			Leased: b.Leased, ServeUntilTime: timestamp(b.ServeUntil),
		}
		if op.Brokers[i].GetAcknowledged() {
			op.Brokers[i].AcknowledgeTime = timestamp(b.AckTime)
		}
	}
}
