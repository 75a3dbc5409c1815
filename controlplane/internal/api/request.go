package api

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// resourceOf returns the resource that a request names: its own name, its
// parent's, or that of the resource inside it.
func resourceOf(req proto.Message) string {
	m := req.ProtoReflect()
	for _, field := range []protoreflect.Name{"name", "parent"} {
		if f := m.Descriptor().Fields().ByName(field); f != nil {
			return m.Get(f).String()
		}
	}
	for _, field := range []protoreflect.Name{"organization", "account", "service_account", "role", "user", "member", "export", "federation_policy", "alert_policy", "plan"} {
		f := m.Descriptor().Fields().ByName(field)
		if f != nil && f.Message() != nil {
			return resourceOf(m.Get(f).Message().Interface())
		}
	}
	return ""
}

// aboutOf returns the organization, the account and the holder of keys in a
// resource name, none of what the name does not have.
func aboutOf(resource string) authz.Target {
	parts := strings.Split(resource, "/")
	var t authz.Target
	if len(parts) > 1 && parts[0] == "organizations" {
		t.Organization = parts[1]
	}
	if len(parts) < 4 || t.Organization == "" {
		return t
	}
	switch parts[2] {
	case "accounts":
		t.Account = parts[3]
	case "serviceAccounts":
		t.Holder.ServiceAccount = parts[3]
	case "members":
		t.Holder.Member = parts[3]
	}
	return t
}

// check validates a request. Ids that callers choose are checked first,
// because that tells better what is wrong with them than a pattern does.
func (s *Server) check(req proto.Message) error {
	m := req.ProtoReflect()
	for field, validate := range map[protoreflect.Name]func(string) error{
		"organization_id": accounts.ValidateOrganizationID,
		"account_id":      accounts.ValidateAccountID,
		"user_id":         accounts.ValidateUserID,

		"role_id": accounts.ValidateRole,

		"service_account_id": accounts.ValidateServiceAccountID,

		"member_id": accounts.ValidateMemberID,
		"export_id": accounts.ValidateExportID,

		"federation_policy_id": accounts.ValidateFederationPolicyID,

		"alert_policy_id": accounts.ValidateAlertPolicyID,

		"import_id": accounts.ValidateImportID,
		"plan_id":   accounts.ValidatePlanID,
	} {
		if f := m.Descriptor().Fields().ByName(field); f != nil {
			err := validate(m.Get(f).String())
			if e, ok := errors.AsType[*errs.Error](err); ok {
				return e.WithField(string(field)) // what is checked elsewhere by another name
			}
			if err != nil {
				return err
			}
		}
	}
	err := s.validate.Validate(req)
	if err == nil {
		return nil
	}
	var invalid *protovalidate.ValidationError
	if !errors.As(err, &invalid) || len(invalid.Violations) == 0 {
		return fmt.Errorf("validate request: %w", err)
	}
	v := invalid.Violations[0]
	field := protovalidate.FieldPathString(v.Proto.GetField())
	return errs.New(errs.Invalid, "INVALID_FIELD", "%s: %s", field, v.Proto.GetMessage()).WithField(field)
}

// name is a resource name, parsed. Parts that it does not have are empty.
type name struct {
	organization, account, user, credential, operation string
	role, serviceAccount, apiKey                       string
	member, invitation                                 string
	export, offer, imported, share                     string
	federationPolicy                                   string
	alertPolicy, alert                                 string
}

var nameRE = regexp.MustCompile(`^organizations/(?P<organization>[^/]+)(?:` +
	`/accounts/(?P<account>[^/]+)(?:/users/(?P<user>[^/]+)(?:/credentials/(?P<credential>[^/]+))?|/roles/(?P<role>[^/]+)` +
	`|/exports/(?P<export>[^/]+)(?:/offers/(?P<offer>[^/]+))?|/imports/(?P<imported>[^/]+)|/federationPolicies/(?P<federationPolicy>[^/]+))?` +
	`|/(?:serviceAccounts/(?P<serviceAccount>[^/]+)|members/(?P<member>[^/]+))(?:/apiKeys/(?P<apiKey>[^/]+))?` +
	`|/invitations/(?P<invitation>[^/]+)|/shares/(?P<share>[^/]+)|/alertPolicies/(?P<alertPolicy>[^/]+)|/alerts/(?P<alert>[^/]+)` +
	`|/operations/(?P<operation>[^/]+))?$`)

func parseName(text string) (name, error) {
	m := nameRE.FindStringSubmatch(text)
	if m == nil {
		return name{}, errs.New(errs.Invalid, "INVALID_NAME", "%q is not the name of a resource", text).
			WithNext("names look like organizations/acme/accounts/orders")
	}
	part := func(group string) string { return m[nameRE.SubexpIndex(group)] }
	return name{
		organization: part("organization"), account: part("account"), user: part("user"), credential: part("credential"),
		operation: part("operation"), role: part("role"), serviceAccount: part("serviceAccount"), apiKey: part("apiKey"),
		member: part("member"), invitation: part("invitation"),
		export: part("export"), offer: part("offer"), imported: part("imported"), share: part("share"),
		federationPolicy: part("federationPolicy"), alertPolicy: part("alertPolicy"), alert: part("alert"),
	}, nil
}

// holder returns who holds the keys that a name is about.
func (n name) holder() store.Holder {
	return store.Holder{ServiceAccount: n.serviceAccount, Member: n.member}
}
