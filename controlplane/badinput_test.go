package controlplane_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// patient bounds a call that waits for something to happen.
const patient = 300 * time.Millisecond

// chaff makes requests that nobody would send: with names of others, of nothing
// and of what looks like something else, far too long, far too many, and numbers
// from the edges.
type chaff struct {
	*rand.Rand
	names []string // of what is there
	sense int      // of ten fields, how many have a value that somebody would send
}

// sane is what somebody would send.
func (c *chaff) sane(field string) string {
	switch {
	case field == "name" || field == "parent":
		return c.names[c.IntN(len(c.names))]
	case strings.HasSuffix(field, "_id") && field != "request_id":
		return fmt.Sprintf("n%d", c.IntN(5))
	case field == "paths":
		return []string{"display_name", "limits.connections", "permissions", "role", "delete_protection", "limits", "disabled", "bindings", "state"}[c.IntN(9)]
	case field == "subject" || field == "allow" || field == "deny":
		return []string{"a.b", "a.*", "b.>"}[c.IntN(3)]
	case field == "role":
		return []string{"default", "developer", "owner", "r"}[c.IntN(4)]
	case strings.HasSuffix(field, "email"):
		return "a@example.com"
	}
	return ""
}

func (c *chaff) text(field string) string {
	if c.IntN(10) < c.sense {
		return c.sane(field)
	}
	odd := []string{
		"", "x", "acme", "аcme" /* its first letter is Cyrillic */, "ACME", "acme\u200b", "\u202eemca", "a\x00b", "a\nb", "a/b", "../..", "%2e%2e", "*", ">", "a.*.b", "$SYS.>", "{{name()}}",
		"organizations/", "organizations/-/accounts/-", "organizations/acme/accounts/default/../..", strings.Repeat("é", 61), strings.Repeat("a", 64<<10), "\xf0\x9f\x98\x80", "-1", "1e9", "null",
		"state=ACTIVE", "state=", "a=\"", "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.e30.AA", "UAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	}
	if field == "name" || field == "parent" || strings.HasSuffix(field, "_name") || c.IntN(3) == 0 {
		if c.IntN(4) > 0 {
			return c.names[c.IntN(len(c.names))]
		}
	}
	return odd[c.IntN(len(odd))]
}

// fill sets some of the fields of a message, to a depth.
func (c *chaff) fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if c.IntN(4) == 0 || depth == 0 && f.Message() != nil {
			continue
		}
		switch {
		case f.IsMap():
			for range c.IntN(3) {
				k := c.scalar(f.MapKey()).MapKey()
				if v := f.MapValue(); v.Message() == nil {
					m.Mutable(f).Map().Set(k, c.scalar(v))
				}
			}
		case f.IsList():
			list := m.Mutable(f).List()
			for range []int{0, 1, 2, 1, 1, 2, 300}[c.IntN(7)] {
				if f.Message() == nil {
					list.Append(c.scalar(f))
				} else {
					c.fill(list.AppendMutable().Message(), min(depth-1, 1))
				}
			}
		case f.Message() != nil:
			c.fill(m.Mutable(f).Message(), depth-1)
		default:
			m.Set(f, c.scalar(f))
		}
	}
}

func (c *chaff) scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	edges := []int64{0, 1, 2, 10, 3600, 7200, -1, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64}
	if c.IntN(10) < c.sense {
		edges = edges[:6]
	}
	n := edges[c.IntN(len(edges))]
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n&1 == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(c.IntN(8) - 1))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(n)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64([]float64{0, -1, math.NaN(), math.Inf(1), 0.1}[c.IntN(5)])
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(n))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(bytes.Repeat([]byte{0xff}, c.IntN(100)))
	default:
		return protoreflect.ValueOfString(c.text(string(f.Name())))
	}
}

// unary returns every method that answers once.
func unary() []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	for _, pkg := range []protoreflect.FullName{apiv1.File_covey_api_v1_accounts_proto.Package(), adminv1.File_covey_admin_v1_maintenance_proto.Package()} {
		protoregistry.GlobalFiles.RangeFilesByPackage(pkg, func(f protoreflect.FileDescriptor) bool {
			for i := range f.Services().Len() {
				methods := f.Services().Get(i).Methods()
				for j := range methods.Len() {
					if m := methods.Get(j); !m.IsStreamingServer() && !m.IsStreamingClient() {
						all = append(all, m)
					}
				}
			}
			return true
		})
	}
	return all
}

// TestAnyRequestGetsAClearAnswer sends every method many requests that nobody
// would send. None may fail for a reason that is not the request's, none may go
// without a reason, and nothing of another organization may change.
func TestAnyRequestGetsAClearAnswer(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 6
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	p := start(t, t.TempDir())
	_, beta := p.signUp(t, "beta")
	before := holdings(t, beta, "beta")
	c := &chaff{Rand: rand.New(rand.NewPCG(seed, 0))}
	methods, orgs, answers := unary(), 0, map[codes.Code]int{}
	var owner *caller
	for round := range rounds * len(methods) {
		if owner == nil {
			orgs++
			org := fmt.Sprintf("acme-%d", orgs)
			_, owner = p.signUp(t, org)
			c.names = existing(org, org, org, org, "beta")
		}
		m := methods[round%len(methods)]
		request := dynamicpb.NewMessage(m.Input())
		c.sense = []int{0, 5, 9, 10}[c.IntN(4)]
		c.fill(request, 3)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if m.Name() == "WaitOperation" {
			ctx, cancel = context.WithTimeout(t.Context(), patient)
		}
		err := owner.conn.Invoke(ctx, fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name()), request, dynamicpb.NewMessage(m.Output()))
		cancel()
		code := checkAnswer(t, m, request, err)
		if answers[code]++; code == codes.Unauthenticated { // the owner ended itself
			owner = nil
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d methods, %d organizations, answers: %v", len(methods), orgs, answers)
	if after := holdings(t, beta, "beta"); after != before {
		t.Errorf("another organization changed from\n%s\nto\n%s", before, after)
	}
}

func checkAnswer(t *testing.T, m protoreflect.MethodDescriptor, request proto.Message, err error) codes.Code {
	t.Helper()
	st := status.Convert(err)
	text := prototext.Format(request)
	if len(text) > 4096 {
		text = text[:4096] + "…"
	}
	switch st.Code() {
	case codes.OK:
		return st.Code()
	case codes.Internal, codes.Unknown, codes.DataLoss, codes.Unimplemented, codes.Unavailable:
		t.Errorf("%s: %v for\n%s", m.FullName(), err, text)
		return st.Code()
	case codes.DeadlineExceeded:
		if m.Name() != "WaitOperation" {
			t.Errorf("%s: %v for\n%s", m.FullName(), err, text)
		}
		return st.Code()
	case codes.ResourceExhausted:
		if strings.Contains(st.Message(), "larger than max") { // gRPC's own, before it is ours
			return st.Code()
		}
	default:
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetReason() != "" {
			return st.Code()
		}
	}
	t.Errorf("%s: %v gives no reason, for\n%s", m.FullName(), err, text)
	return st.Code()
}

// existing is names of what there is in two organizations, and of what may be.
func existing(orgs ...string) []string {
	var all []string
	for _, org := range orgs {
		top := "organizations/" + org
		account := top + "/accounts/default"
		all = append(
			all, top, top, account, account, account, account+"/users/default", account+"/users/a", account+"/roles/default", account+"/roles/r", account+"/exports/e", account+"/imports/i",
			top+"/members/owner", top+"/serviceAccounts/s", top+"/operations/none", top+"/invitations/none", "default", "a",
		)
	}
	return all
}

// holdings is what an organization has, as text.
func holdings(t *testing.T, c *caller, org string) string {
	t.Helper()
	ctx := t.Context()
	accounts := must[*apiv1.ListAccountsResponse](t, "accounts")(c.accounts.ListAccounts(ctx, &apiv1.ListAccountsRequest{Parent: "organizations/" + org}))
	var b strings.Builder
	for _, a := range accounts.GetAccounts() {
		fmt.Fprintln(&b, prototext.MarshalOptions{Multiline: true}.Format(a))
		users := must[*apiv1.ListUsersResponse](t, "users")(c.users.ListUsers(ctx, &apiv1.ListUsersRequest{Parent: a.GetName()}))
		for _, u := range users.GetUsers() {
			fmt.Fprintln(&b, prototext.Format(u))
		}
	}
	organization := must[*apiv1.GetOrganizationResponse](t, "organization")(c.orgs.GetOrganization(ctx, &apiv1.GetOrganizationRequest{Name: "organizations/" + org}))
	fmt.Fprintln(&b, prototext.Format(organization))
	return strings.Join(strings.Fields(b.String()), " ") // its own blanks vary on purpose
}
