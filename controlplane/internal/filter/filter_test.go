package filter_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/controlplane/internal/filter"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func account() *apiv1.Account {
	ten := int64(10)
	return &apiv1.Account{
		Name: "organizations/acme/accounts/shop", DisplayName: `The "Shop"`, State: apiv1.Account_STATE_SUSPENDED, DeleteProtection: true,
		Limits: &apiv1.Limits{Connections: &ten}, CreateTime: timestamppb.New(time.Date(2026, 5, 1, 12, 0, 0, 5, time.UTC)),
	}
}

func TestWhatFiltersMatch(t *testing.T) {
	desc := (&apiv1.Account{}).ProtoReflect().Descriptor()
	for text, want := range map[string]bool{
		"":                      true,
		"state = SUSPENDED":     true,
		"state = suspended":     true,
		"state=STATE_SUSPENDED": true,
		"state != ACTIVE":       true,
		"state = ACTIVE":        false,
		"state = ACTIVE OR state = SUSPENDED AND delete_protection = false": false, // OR binds tighter
		"(state = ACTIVE AND delete_protection = false) OR state:SUSPENDED": true,
		"NOT state = ACTIVE AND -delete_protection = false":                 true,
		"NOT (state = SUSPENDED)":                                           false,
		"display_name = \"The*\"":                                           true,
		"display_name = *Shop*":                                             true,
		`display_name = "The \"Shop\""`:                                     true,
		"display_name = 'The'":                                              false,
		"name = */shop":                                                     true,
		"name > organizations/acme":                                         true,
		"limits.connections = 10":                                           true,
		"limits.connections >= 11":                                          false,
		"limits.connections < 11":                                           true,
		"limits.data_bytes < 11":                                            false, // not limited
		"limits.data_bytes = *":                                             false,
		"limits.data_bytes != *":                                            true,
		"limits.connections = *":                                            true,
		"delete_time = *":                                                   false,
		"create_time > 2026-05-01T12:00:00Z":                                true,
		`create_time < "2026-05-01T12:00:00Z"`:                              false,
		"create_time<2026-06-01T00:00:00+02:00":                             true,
		"delete_protection = true":                                          true,
	} {
		f, err := filter.Parse(text, desc)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := f.Matches(account()); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	roles, err := filter.Parse("role_bindings.role : admin", (&apiv1.Member{}).ProtoReflect().Descriptor())
	if err != nil {
		t.Fatal(err)
	}
	two := &apiv1.Member{RoleBindings: []*apiv1.RoleBinding{{Role: "billing"}, {Role: "admin"}}}
	if !roles.Matches(two) || roles.Matches(&apiv1.Member{}) {
		t.Error("a repeated field is not searched")
	}
}

func TestWrongFiltersSayWhereAndWhat(t *testing.T) {
	desc := (&apiv1.Account{}).ProtoReflect().Descriptor()
	for text, want := range map[string]string{
		"stat = ACTIVE":                 `no field "stat", at position 1`,
		"state = SLEEPING":              `"SLEEPING" is none`,
		"state ACTIVE":                  "operator is missing",
		"state =":                       "value is missing",
		"state = ACTIVE AND":            "something is missing",
		"state = ACTIVE state = ACTIVE": `"state" was not expected, at position 16`,
		"(state = ACTIVE":               "parenthesis",
		"state > ACTIVE":                "no order",
		"limits = 1":                    "fields of its own",
		"limits.connections = many":     "whole number",
		"create_time > yesterday":       "no time",
		"delete_protection = perhaps":   "neither",
		`display_name = "a`:             "quotes",
		"display_name = #":              `"#"`,
		"name.x = 1":                    "no field",
		"create_time.seconds = 1":       "no field",
		"delete_time > *":               "does not go with",
		strings.Repeat("(", 50) + "a":   "levels",
		strings.Repeat("a", 3000):       "longer",
	} {
		_, err := filter.Parse(text, desc)
		if err == nil || errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{`a = "b" AND (NOT c:*)`, "state = ACTIVE OR -name = *x", "create_time > 2026-05-01T12:00:00Z", "((("} {
		f.Add(text)
	}
	desc := (&apiv1.Account{}).ProtoReflect().Descriptor()
	f.Fuzz(func(t *testing.T, text string) {
		got, err := filter.Parse(text, desc)
		if err != nil {
			if errs.CodeOf(err) != errs.Invalid {
				t.Errorf("%q is refused as %v", text, err)
			}
			return
		}
		inverse, err := filter.Parse("NOT ("+text+")", desc)
		if text == "" || err != nil { // longer than a filter may be
			return
		}
		if got.Matches(account()) == inverse.Matches(account()) {
			t.Errorf("%q and its opposite agree", text)
		}
	})
}
