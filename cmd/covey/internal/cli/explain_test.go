package cli_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
	"github.com/coveymq/covey/docs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (f *fakeAPI) ExplainAccess(_ context.Context, r *apiv1.ExplainAccessRequest) (*apiv1.ExplainAccessResponse, error) {
	f.noteShared(r)
	return &apiv1.ExplainAccessResponse{Findings: []*apiv1.AccessFinding{
		{Layer: "permissions", Outcome: apiv1.AccessFinding_OUTCOME_REFUSES, Detail: "no rule covers it", Next: "add a rule"},
	}}, nil
}

func (f *fakeAPI) GetCaller(context.Context, *apiv1.GetCallerRequest) (*apiv1.GetCallerResponse, error) {
	return &apiv1.GetCallerResponse{KeyId: "key_x", Holder: "organizations/acme/members/ann", KeyExpireTime: timestamppb.New(time.Now().Add(time.Hour))}, nil
}

func (f *fakeAPI) ListUsers(_ context.Context, r *apiv1.ListUsersRequest) (*apiv1.ListUsersResponse, error) {
	f.noteShared(r)
	return &apiv1.ListUsersResponse{}, nil
}

func TestExplainSaysWhatAnErrorMeans(t *testing.T) {
	u := newUser(t)
	if out := u.mustRun("explain", "role_denied"); !strings.Contains(out, "PERMISSION_DENIED") || !strings.Contains(out, "role does not include") {
		t.Errorf("explained as %q", out)
	}
	if code, _, _ := u.run("explain", "NO_SUCH_THING"); code != 3 {
		t.Errorf("an unknown reason: exit code %d", code)
	}
}

// Every reason that the code gives is documented, so that explain knows it.
func TestEveryReasonIsDocumented(t *testing.T) {
	made := regexp.MustCompile(`errs\.New\(errs\.\w+,\s*"([A-Z][A-Z0-9_]+)"`)
	known := docs.Errors()
	var reasons int
	for _, folder := range []string{"accounts", "billing", "controlplane", "internal"} {
		err := filepath.WalkDir(filepath.Join("../../../..", folder), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range made.FindAllStringSubmatch(string(text), -1) {
				reasons++
				if !strings.Contains(known, "`"+m[1]+"`") {
					t.Errorf("%s gives %s, which docs/errors.md does not have", path, m[1])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if reasons < 100 {
		t.Errorf("only %d reasons were found: does this test still read what it means to?", reasons)
	}
}

func TestExplainAccessShowsTheLayers(t *testing.T) {
	u := newUser(t).withTenant()
	code, out, stderr := u.run("explain", "access", "publish", "orders.new", "--user", "shop")
	if code != 0 || !strings.Contains(out, "no rule covers it; add a rule") || !strings.Contains(stderr, "Refused") {
		t.Errorf("exit code %d, %q, %q", code, out, stderr)
	}
	r, ok := u.api.shared[0].(*apiv1.ExplainAccessRequest)
	if !ok || r.GetName() != "organizations/acme/accounts/default/users/shop" || r.GetAction() != apiv1.ExplainAccessRequest_ACTION_PUBLISH || r.GetSubject() != "orders.new" {
		t.Errorf("asked for %v", u.api.shared)
	}
	if code, _, _ := u.run("explain", "access", "steal"); code != 2 {
		t.Errorf("an unknown action: exit code %d", code)
	}
}

func TestListsSendTheirFilter(t *testing.T) {
	u := newUser(t).withTenant()
	u.mustRun("user", "list", "--filter", "state = ACTIVE", "--order-by", "create_time desc")
	if r, ok := u.api.shared[0].(*apiv1.ListUsersRequest); !ok || r.GetFilter() != "state = ACTIVE" || r.GetOrderBy() != "create_time desc" {
		t.Errorf("asked for %v", u.api.shared)
	}
	for _, flag := range []string{"--filter", "--order-by"} {
		if code, _, stderr := u.run("audit", "list", flag, "time"); code != 2 || !strings.Contains(stderr, flag) {
			t.Errorf("the audit log takes %s: exit code %d: %s", flag, code, stderr)
		}
	}
	if code, _, _ := u.run("context", "list", "--filter", "x"); code != 2 {
		t.Errorf("what is not listed by the API takes a filter: exit code %d", code)
	}
}

// ListCredentials has two that end soon, if it is asked for those.
func (f *fakeAPI) ListCredentials(_ context.Context, r *apiv1.ListCredentialsRequest) (*apiv1.ListCredentialsResponse, error) {
	if r.GetFilter() != "state = EXPIRING" {
		return nil, status.Errorf(codes.InvalidArgument, "the filter %q", r.GetFilter())
	}
	return &apiv1.ListCredentialsResponse{Credentials: []*apiv1.Credential{
		{Name: r.GetParent() + "/credentials/crd_later", ExpireTime: timestamppb.New(testTime.Add(time.Hour))},
		{Name: r.GetParent() + "/credentials/crd_first", ExpireTime: timestamppb.New(testTime)},
	}}, nil
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	u := newUser(t).withTenant()
	u.probe = func(context.Context, *contexts.Context) (string, time.Duration, error) {
		return "b1", time.Millisecond, nil
	}
	c, err := u.store.Get("acme")
	if err != nil {
		t.Fatal(err)
	}
	c.CredsFile, c.NATSURL, c.HTTPURL = "", "nats://127.0.0.1:1", ""
	if err := u.store.Put(c); err != nil {
		t.Fatal(err)
	}
	out := u.mustRun("doctor")
	if !strings.Contains(out, "2 of admin's end soon, crd_first first") || !strings.Contains(out, "creds renew") {
		t.Errorf("credentials that end soon: %q", out)
	}
	if !strings.Contains(out, "warn") || !strings.Contains(out, "apikey rotate") || !strings.Contains(out, "b1") {
		t.Errorf("a key that ends within the hour: %q", out)
	}
	u.probe = func(context.Context, *contexts.Context) (string, time.Duration, error) {
		return "", 0, errors.New("no route")
	}
	c.CredsFile = filepath.Join(t.TempDir(), "none.creds")
	if err := u.store.Put(c); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := u.run("doctor")
	if code != 1 || !strings.Contains(stderr, "2 of 5 checks failed") || !strings.Contains(out, "explain access connect") {
		t.Errorf("exit code %d, %q, %q", code, out, stderr)
	}
}
