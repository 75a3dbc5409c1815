package controlplane_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/grpcerr"
	"github.com/coveymq/covey/internal/testetcd"
)

// writes are the methods of the public API and of the staff's that change
// something.
func writes() map[string]protoreflect.MethodDescriptor {
	out := map[string]protoreflect.MethodDescriptor{}
	reads := []string{"Get", "List", "BatchGet", "Query", "Watch", "Wait", "Test", "Explain"}
	also := map[string]bool{"Backup": true, "VerifyAudit": true}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if f.Package() != "covey.api.v1" && f.Package() != "covey.admin.v1" {
			return true
		}
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				m := s.Methods().Get(j)
				begins := func(verb string) bool { return strings.HasPrefix(string(m.Name()), verb) }
				if !slices.ContainsFunc(reads, begins) && !also[string(m.Name())] {
					out["/"+string(s.FullName())+"/"+string(m.Name())] = m
				}
			}
		}
		return true
	})
	return out
}

// painless are the writes that say nothing of an impact, and why they have none.
func painless() map[string]string {
	out := map[string]string{}
	for why, methods := range map[string]string{
		"it makes something new": "CreateAccount BatchCreateAccounts CreateAPIKey IssueCredential CreateExport CreateFederationPolicy ExchangeToken CreateImport CreateInvitation " +
			"SignUp CreateRole CreateServiceAccount CreateShareOffer CreateUser BatchCreateUsers BatchIssueCredentials CreatePlan CreateStockCluster CreateAlertPolicy CreateJoinToken IssueCollectorCertificate AcceptInvitation AcceptShare ExportAccount",
		"it gives back what was taken away":                         "ResumeAccount UndeleteAccount EnableAPIKey ResumeUser ResumeOrganization UndeleteOrganization UndrainBroker",
		"the key or credential before is as good as it was":         "RenewCredential StageKey PromoteKey StageOperatorKey PromoteOperatorKey RotateFleetAuthority",
		"clients stay, and what they may do follows the role":       "UpdateRole",
		"no credential ends: it is refused while one depends on it": "DeletePlan RetireFleetAuthority",
		"its answer lists the accounts itself":                      "RetireOperatorKey",
		"what was issued is good until it expires":                  "DeleteFederationPolicy",
		"keys stay, and what they may do follows the roles":         "UpdateMember",
		"it was not accepted yet":                                   "RevokeInvitation",
		"what ends is what the request names":                       "DeleteImport RevokeShareOffer RejectShare",
		"nobody is let in or kept out by it":                        "UpdateAlertPolicy DeleteAlertPolicy AcknowledgeAlert UpdateOrganization",
		"servers go on with what they have":                         "DeleteStockCluster ResyncStockCluster",
	} {
		for _, m := range strings.Fields(methods) {
			out[m] = why
		}
	}
	return out
}

// Whoever adds a method that changes something lets it be tried, and says whom it
// can hurt or why it cannot.
func TestEveryWriteCanBeTried(t *testing.T) {
	reasons := painless()
	for path, m := range writes() {
		if f := m.Input().Fields().ByName("validate_only"); f == nil || f.Kind() != protoreflect.BoolKind {
			t.Errorf("%s has no validate_only", path)
		}
		why, hurts := reasons[string(m.Name())], m.Output().Fields().ByName("impact") != nil
		if (why == "") != hurts {
			t.Errorf("%s: it has an impact: %v; why it needs none: %q", path, hurts, why)
		}
		delete(reasons, string(m.Name()))
	}
	for m := range reasons {
		t.Errorf("no method that changes something is called %s", m)
	}
}

// content is all that a dry run may not change: not what control planes and brokers
// say of themselves, and not entries of the audit log, which move to the ledger;
// that they were written shows in the heads.
func content(t *testing.T, etcd *clientv3.Client) map[string]string {
	t.Helper()
	const root = "/covey/v1/"
	r, err := etcd.Get(t.Context(), root, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, kv := range r.Kvs {
		key := strings.TrimPrefix(string(kv.Key), root)
		var volatile bool
		for _, p := range []string{"fleet/broker/", "fleet/lease/", "fleet/acks/", "fleet/ask/", "fleet/answer/", "fleet/stock/", "sys/leader/", "audit/", "idx/apikey-used/"} {
			volatile = volatile || strings.HasPrefix(key, p)
		}
		if !volatile {
			out[key] = string(kv.Value)
		}
	}
	return out
}

// secrets lists the fields of an answer that would be good for something.
func secrets(m protoreflect.Message) []string {
	var found []string
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch f.Name() {
		case "jwt":
			if f.ContainingMessage().Name() != "Operator" { // which anybody may see
				found = append(found, string(f.FullName()))
			}
		case "creds_file", "secret", "token", "seed", "certificate_chain", "keys":
			if f.Kind() != protoreflect.MessageKind || f.Message().Name() == "ExportedKey" {
				found = append(found, string(f.FullName()))
			}
		case "api_key":
			if f.Kind() == protoreflect.StringKind {
				found = append(found, string(f.FullName()))
			}
		}
		switch {
		case f.Kind() != protoreflect.MessageKind || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				found = append(found, secrets(v.List().Get(i).Message())...)
			}
		default:
			found = append(found, secrets(v.Message())...)
		}
		return true
	})
	return found
}

// try is one dry run: as whom, and what refuses it if it cannot be carried out.
type try struct {
	by      *caller
	req     proto.Message
	refused string
}

// Nothing in the store changes with a dry run of any method, and its answer is good
// for nothing.
func TestADryRunChangesNothing(t *testing.T) {
	idp := newIssuer(t)
	c := testetcd.NewCluster(t, 1, testetcd.Options{})
	p := start(t, t.TempDir(), onCluster(c), func(c *controlplane.Config) { c.IssuerClient = idp.Client() })
	etcd, tries := c.Client(t), p.tries(t, idp)
	for path, m := range writes() {
		if _, known := tries[path]; !known {
			t.Errorf("%s is not tried here", path)
			continue
		}
		if f := m.Input().Fields().ByName("validate_only"); f != nil {
			tries[path].req.ProtoReflect().Set(f, protoreflect.ValueOfBool(true))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(tries)) {
		m, known := writes()[path]
		if !known {
			t.Errorf("there is no %s", path)
			continue
		}
		out, err := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
		if err != nil {
			t.Fatal(err)
		}
		one, resp := tries[path], out.New()
		before := content(t, etcd)
		err = one.by.conn.Invoke(t.Context(), path, one.req, resp.Interface())
		if got := refusalOf(err); got != one.refused {
			t.Errorf("%s: %q %v, want %q", path, got, err, one.refused)
		}
		after := content(t, etcd)
		for key := range after {
			if before[key] != after[key] {
				t.Errorf("%s changes %s", path, key)
			}
		}
		if len(before) > len(after) {
			t.Errorf("%s takes away what was there", path)
		}
		if found := secrets(resp); len(found) > 0 {
			t.Errorf("%s: the answer to a dry run has %v", path, found)
		}
		if f := m.Output().Fields().ByName("impact"); f != nil && err == nil && !resp.Has(f) {
			t.Errorf("%s: the answer to a dry run has no impact", path)
		}
		if f := m.Output().Fields().ByName("operation"); f != nil && resp.Has(f) {
			t.Errorf("%s: a dry run began an operation", path)
		}
	}
}

func refusalOf(err error) string {
	if err == nil {
		return ""
	}
	var e *errs.Error
	if errors.As(grpcerr.FromStatus(err), &e) {
		return e.Reason
	}
	return err.Error()
}
