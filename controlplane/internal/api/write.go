package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	"github.com/coveymq/covey/internal/errs"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// writeRequest is what every request that changes something has.
type writeRequest interface {
	proto.Message
	GetRequestId() string
	GetValidateOnly() bool
}

// response makes R of a pointer to a message.
type response[T any] interface {
	*T
	proto.Message
}

var errDelivered = errs.New(errs.Precondition, "SECRET_ALREADY_DELIVERED", "this request was carried out, and its secret was delivered with the first answer").
	WithField("request_id").WithNext("revoke what it made and make a new one with another request_id")

// write makes one change in one transaction and answers with R: the first
// time as the change made it, on a replay from the record of the request.
func write[T any, R response[T]](ctx context.Context, s *Server, req writeRequest, organization string,
	change func(ctx context.Context, tx *store.Tx) (R, error),
) (R, error) {
	return writeIf(ctx, s, req, organization, mayMember, change)
}

// writeIf is write for what members may do under other circumstances than usual.
func writeIf[T any, R response[T]](ctx context.Context, s *Server, req writeRequest, organization string,
	may func(context.Context, *store.Tx) error, change func(ctx context.Context, tx *store.Tx) (R, error),
) (R, error) {
	c, err := changeOf(ctx, req, organization)
	if err != nil {
		return nil, err
	}
	resp, result, err := store.Update(ctx, s.store, c, func(ctx context.Context, tx *store.Tx) (R, store.Outcome, error) {
		if c.Scope.Covers("") {
			may = mayStaff(req)
		}
		if err := may(ctx, tx); err != nil {
			return nil, store.Outcome{}, err
		}
		resp, err := change(ctx, tx)
		if err != nil {
			return nil, store.Outcome{}, err
		}
		outcome, err := keep(resp)
		return resp, outcome, err
	})
	if err != nil {
		return nil, err
	}
	if result.Replayed {
		if result.Outcome.Secret {
			return nil, errDelivered
		}
		resp = new(T)
		if err := proto.Unmarshal(result.Outcome.Response, resp); err != nil {
			return nil, fmt.Errorf("decode kept answer: %w", err)
		}
	}
	if c.DryRun {
		dropOperation(resp)
	}
	s.stamp(ctx, resp, result.Revision)
	return resp, nil
}

func changeOf(ctx context.Context, req writeRequest, organization string) (store.Change, error) {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return store.Change{}, fmt.Errorf("encode request: %w", err)
	}
	fingerprint := sha256.Sum256(text)
	call := callOf(ctx)
	c := store.Change{
		Scope: call.principal.Scope(), Organization: organization, Actor: call.principal.KeyID,
		Method: path.Base(call.method), Target: targetOf(req), RequestID: req.GetRequestId(),
		Fingerprint: fingerprint[:], DryRun: req.GetValidateOnly(),
	}
	if c.Target == "" {
		c.Target = call.resource
	}
	if r, ok := req.(interface{ GetReason() string }); ok {
		c.Reason = r.GetReason()
	}
	return c, nil
}

// targetOf names what a request changes: what it creates, or what it names.
func targetOf(req proto.Message) string {
	switch r := req.(type) {
	case *adminv1.StageOperatorKeyRequest, *adminv1.PromoteOperatorKeyRequest:
		return "operator"
	case *adminv1.RetireOperatorKeyRequest:
		return "operator/keys/" + r.GetPublicKey()
	case *adminv1.RotateFleetAuthorityRequest:
		return "fleet/authority"
	case *adminv1.RetireFleetAuthorityRequest:
		return "fleet/authority/" + r.GetId()
	case *adminv1.CreateJoinTokenRequest:
		return "fleet"
	case *adminv1.IssueCollectorCertificateRequest:
		return "collectors/" + r.GetCollector()
	}
	resource := resourceOf(req)
	m := req.ProtoReflect()
	for field, collection := range map[string]string{
		"account_id": "/accounts/", "user_id": "/users/", "organization_id": "organizations/",
		"service_account_id": "/serviceAccounts/", "role_id": "/roles/",
		"export_id": "/exports/", "import_id": "/imports/", "federation_policy_id": "/federationPolicies/",
		"alert_policy_id":  "/alertPolicies/",
		"stock_cluster_id": "stockClusters/", "plan_id": "plans/",
	} {
		if f := m.Descriptor().Fields().ByTextName(field); f != nil {
			return strings.TrimPrefix(resource+collection+m.Get(f).String(), "/")
		}
	}
	return resource
}

// keep returns what a replay of the request may see: no secrets.
func keep(resp proto.Message) (store.Outcome, error) {
	clean := proto.Clone(resp)
	var outcome store.Outcome
	switch r := clean.(type) {
	case *apiv1.SignUpResponse:
		r.CredsFile, r.ApiKey, outcome.Secret = "", "", true
	case *apiv1.IssueCredentialResponse:
		outcome.Secret = r.GetCredsFile() != ""
		r.CredsFile = ""
	case *apiv1.BatchIssueCredentialsResponse:
		for _, one := range r.GetIssued() {
			outcome.Secret = outcome.Secret || one.GetCredsFile() != ""
			one.CredsFile = ""
		}
	case *apiv1.ExportAccountResponse:
		r.Keys, r.Users, outcome.Secret = nil, nil, true
	case *apiv1.CreateAPIKeyResponse:
		r.Secret, outcome.Secret = "", true
	case *apiv1.RotateAPIKeyResponse:
		r.Secret, outcome.Secret = "", true
	case *apiv1.CreateInvitationResponse:
		r.Token, outcome.Secret = "", true
	case *apiv1.AcceptInvitationResponse:
		r.ApiKey, outcome.Secret = "", true
	case *adminv1.CreateJoinTokenResponse:
		r.JoinToken, outcome.Secret = "", true
	}
	text, err := proto.Marshal(clean)
	if err != nil {
		return store.Outcome{}, fmt.Errorf("encode answer: %w", err)
	}
	outcome.Response = text
	return outcome, nil
}

// stamp puts into an answer what only the revision of the change tells: the
// etags, the revision of the claims, and how far the operation is. A dry run
// has none of them, and begins no operation.
func (s *Server) stamp(ctx context.Context, resp proto.Message, revision int64) {
	stampEtags(resp, tenancy.Etag(revision))
	if r, ok := resp.(*apiv1.BatchIssueCredentialsResponse); ok {
		for _, one := range r.GetIssued() {
			stampEtags(one, tenancy.Etag(revision))
		}
	}
	var op *apiv1.Operation
	if r, ok := resp.(interface{ GetOperation() *apiv1.Operation }); ok {
		op = r.GetOperation()
	}
	if r, ok := resp.(interface{ GetAccount() *apiv1.Account }); ok && r.GetAccount() != nil {
		if op != nil {
			r.GetAccount().Revision = revision
		}
	}
	if op != nil && revision != 0 {
		op.Revision = revision
		s.stampOperation(ctx, op)
	}
}

// stampEtags puts the etag into every resource of an answer.
func stampEtags(resp proto.Message, etag string) {
	resp.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() == nil || f.IsMap() {
			return true
		}
		e := f.Message().Fields().ByName("etag")
		switch {
		case e == nil:
		case f.IsList():
			for i := range v.List().Len() {
				v.List().Get(i).Message().Set(e, protoreflect.ValueOfString(etag))
			}
		default:
			v.Message().Set(e, protoreflect.ValueOfString(etag))
		}
		return true
	})
}

// stampOperation puts the present state into an operation. The change is made
// whatever the fleet's records say, so a failure to read them is no failure of
// the call: the operation then counts as running.
func (s *Server) stampOperation(ctx context.Context, op *apiv1.Operation) {
	brokers, err := s.fleet.Brokers(ctx)
	if err != nil {
		s.log.WarnContext(ctx, "brokers unreadable", "err", err)
		op.State = apiv1.Operation_STATE_RUNNING
		return
	}
	fillOperation(op, brokers)
}

// dropOperation takes the operation out of an answer: a dry run begins none.
func dropOperation(resp proto.Message) {
	m := resp.ProtoReflect()
	if f := m.Descriptor().Fields().ByName("operation"); f != nil {
		m.Clear(f)
	}
}

// mayMember is what members of an organization may change.
func mayMember(ctx context.Context, tx *store.Tx) error { return tenancy.MayChange(ctx, tx) }

// mayStaff is what the staff may change of an organization: everything, and its plan
// and limits even when it has ended, for an invoice may still follow them.
func mayStaff(req proto.Message) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		if req.ProtoReflect().Descriptor().ParentFile().Package() == "covey.admin.v1" || tx.Organization() == "" {
			return nil
		}
		return tenancy.NotEnded(ctx, tx)
	}
}
