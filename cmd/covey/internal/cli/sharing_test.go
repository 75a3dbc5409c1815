package cli_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (f *fakeAPI) noteShared(r proto.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shared = append(f.shared, r)
}

func (f *fakeAPI) CreateExport(_ context.Context, r *apiv1.CreateExportRequest) (*apiv1.CreateExportResponse, error) {
	f.noteShared(r)
	return &apiv1.CreateExportResponse{Export: r.GetExport()}, nil
}

func (f *fakeAPI) UpdateExport(_ context.Context, r *apiv1.UpdateExportRequest) (*apiv1.UpdateExportResponse, error) {
	f.noteShared(r)
	return &apiv1.UpdateExportResponse{Export: r.GetExport(), BrokenImports: []string{"organizations/acme/accounts/shop/imports/prices"}}, nil
}

func (f *fakeAPI) CreateImport(_ context.Context, r *apiv1.CreateImportRequest) (*apiv1.CreateImportResponse, error) {
	f.noteShared(r)
	return &apiv1.CreateImportResponse{Import: r.GetImport()}, nil
}

func (f *fakeAPI) CreateShareOffer(_ context.Context, r *apiv1.CreateShareOfferRequest) (*apiv1.CreateShareOfferResponse, error) {
	f.noteShared(r)
	return &apiv1.CreateShareOfferResponse{ShareOffer: &apiv1.ShareOffer{Name: r.GetParent() + "/offers/shr_1"}}, nil
}

func (f *fakeAPI) AcceptShare(_ context.Context, r *apiv1.AcceptShareRequest) (*apiv1.AcceptShareResponse, error) {
	f.noteShared(r)
	return &apiv1.AcceptShareResponse{Share: &apiv1.Share{Name: r.GetName(), State: apiv1.ShareState_SHARE_STATE_ACCEPTED}}, nil
}

func TestSharingCommandsSendWhatFlagsSay(t *testing.T) {
	u := newUser(t).withTenant()
	u.mustRun("export", "create", "prices", "price.*", "--type", "service", "--audience", "offered", "--answers", "many")
	if out := u.mustRun("export", "update", "prices", "--audience", "organization", "--dry-run"); !strings.Contains(out, "imports/prices") {
		t.Errorf("the preview does not name what breaks: %q", out)
	}
	u.mustRun("import", "create", "prices", "--account", "shop", "--from", "default/prices", "--local", "shop.$1")
	u.mustRun("import", "create", "acme", "--share", "shr_1")
	u.mustRun("share", "offer", "prices", "--to", "globex", "--ttl", "1h")
	if out := u.mustRun("share", "accept", "shr_1"); !strings.Contains(out, "accepted") {
		t.Errorf("accepting prints %q", out)
	}
	const account = "organizations/acme/accounts/default"
	want := []proto.Message{
		&apiv1.CreateExportRequest{Parent: account, ExportId: "prices", Export: &apiv1.Export{
			Subject: "price.*", Type: apiv1.Export_TYPE_SERVICE, Audience: apiv1.Export_AUDIENCE_OFFERED, ResponseType: apiv1.Export_RESPONSE_TYPE_STREAM,
		}},
		nil,
		&apiv1.CreateImportRequest{Parent: "organizations/acme/accounts/shop", ImportId: "prices", Import: &apiv1.Import{Source: account + "/exports/prices", LocalSubject: "shop.$1"}},
		&apiv1.CreateImportRequest{Parent: account, ImportId: "acme", Import: &apiv1.Import{Source: "organizations/acme/shares/shr_1"}},
		&apiv1.CreateShareOfferRequest{Parent: account + "/exports/prices", TargetOrganization: "organizations/globex", ShareTtlSeconds: 3600},
		&apiv1.AcceptShareRequest{Name: "organizations/acme/shares/shr_1", Account: account},
	}
	for i, got := range u.api.shared {
		m := got.ProtoReflect()
		m.Clear(m.Descriptor().Fields().ByName("request_id"))
		if update, ok := got.(*apiv1.UpdateExportRequest); ok {
			if strings.Join(update.GetUpdateMask().GetPaths(), ",") != "audience" || !update.GetValidateOnly() {
				t.Errorf("asked for %v", update)
			}
			continue
		}
		if !proto.Equal(got, want[i]) {
			t.Errorf("asked for %v, want %v", got, want[i])
		}
	}
	for _, wrong := range [][]string{
		{"import", "create", "x"},
		{"import", "create", "x", "--from", "a/b", "--share", "s"},
		{"import", "create", "x", "--from", "nothing"},
		{"export", "create", "x", "y"},
		{"export", "create", "x", "y", "--type", "pipe"},
		{"export", "update", "x"},
	} {
		if code, _, _ := u.run(wrong...); code != 2 {
			t.Errorf("%v: exit code %d", wrong, code)
		}
	}
}

// Whatever is listed can be shown by itself.
func TestSingleThingsAreShown(t *testing.T) {
	u := newUser(t)
	r := u.withRecorder()
	for line, method := range map[string]string{
		"apikey get organizations/acme/serviceAccounts/ci/apiKeys/key_1": "GetAPIKey",
		"federation get ci":       "GetFederationPolicy",
		"member invitation inv_1": "GetInvitation",
		"share get shr_1":         "GetShare",
		"share get organizations/acme/accounts/default/exports/prices/offers/shr_1": "GetShareOffer",
		"org get": "GetOrganization",
	} {
		if code, _, stderr := u.run(strings.Fields(line)...); code != 0 {
			t.Errorf("covey %s: exit code %d: %s", line, code, stderr)
		}
		asked, names := r.take()
		if len(names) != 1 || names[0] != method {
			t.Errorf("covey %s calls %v: %v", line, names, asked)
		}
	}
	if code, _, _ := u.run("org", "update"); code != 2 {
		t.Errorf("a change of nothing: exit code %d", code)
	}
}
