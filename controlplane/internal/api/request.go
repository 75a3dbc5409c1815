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
	for _, field := range []protoreflect.Name{"account"} {
		f := m.Descriptor().Fields().ByName(field)
		if f != nil && f.Message() != nil {
			return resourceOf(m.Get(f).Message().Interface())
		}
	}
	return ""
}

// organizationOf returns the organization's id in a resource name, "" if the
// name has none.
func organizationOf(resource string) string {
	rest, ok := strings.CutPrefix(resource, "organizations/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// check validates a request. Ids that callers choose are checked first,
// because that tells better what is wrong with them than a pattern does.
func (s *Server) check(req proto.Message) error {
	m := req.ProtoReflect()
	for field, validate := range map[protoreflect.Name]func(string) error{
		"organization_id": accounts.ValidateOrganizationID,
		"account_id":      accounts.ValidateAccountID,
		"user_id":         accounts.ValidateUserID,
	} {
		if f := m.Descriptor().Fields().ByName(field); f != nil {
			if err := validate(m.Get(f).String()); err != nil {
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
}

var nameRE = regexp.MustCompile(`^organizations/([^/]+)(?:/accounts/([^/]+)(?:/users/([^/]+)(?:/credentials/([^/]+))?)?)?(?:/operations/([^/]+))?$`)

func parseName(text string) (name, error) {
	m := nameRE.FindStringSubmatch(text)
	if m == nil {
		return name{}, errs.New(errs.Invalid, "INVALID_NAME", "%q is not the name of a resource", text).
			WithNext("names look like organizations/acme/accounts/orders")
	}
	return name{organization: m[1], account: m[2], user: m[3], credential: m[4], operation: m[5]}, nil
}
