package controlplane_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// Imports that a server would refuse are refused when they are written: those that
// close a cycle, also over several accounts and organizations, and those whose
// local subjects meet.
func TestImportsThatServersRefuseAreRefused(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	_, other := p.signUp(t, "globex")
	ctx := t.Context()
	for _, id := range []string{"shop", "stock", "mail"} {
		owner.newAccount(t, acme, id)
	}
	account := func(id string) string { return acme + "/accounts/" + id }
	for _, id := range []string{"default", "shop", "stock", "mail"} {
		owner.export(t, account(id), "ask", "ask.>", apiv1.Export_TYPE_SERVICE, 0)
		owner.export(t, account(id), "news", "news.>", apiv1.Export_TYPE_STREAM, 0)
	}
	try := func(by *caller, parent, id, source, subject, local string) error {
		_, err := by.imports.CreateImport(ctx, &apiv1.CreateImportRequest{
			Parent: parent, ImportId: id, Import: &apiv1.Import{Source: source, Subject: subject, LocalSubject: local},
		})
		return err
	}
	take := func(to, id, from, export, subject, local string) error {
		return try(owner, account(to), id, account(from)+"/exports/"+export, subject, local)
	}
	for _, step := range []struct {
		to, id, from, export, subject, local, refused string
	}{
		{"default", "i-a", "shop", "ask", "ask.price", "", ""},
		{"shop", "i-b", "stock", "ask", "ask.*", "", ""},
		{"stock", "i-c", "default", "ask", "ask.price", "", "IMPORT_CYCLE"},
		{"stock", "i-c", "default", "ask", "ask.size", "", ""},
		{"stock", "i-d", "shop", "ask", "ask.other", "", "IMPORT_CYCLE"},
		{"default", "i-n", "shop", "news", "news.>", "", ""},
		{"shop", "i-n", "default", "news", "news.eu", "", "IMPORT_CYCLE"},
		{"mail", "i-e", "shop", "ask", "ask.*", "all.$1", ""},
		{"mail", "i-f", "shop", "ask", "ask.price", "all.price", "IMPORT_OVERLAP"},
		{"mail", "i-f", "stock", "ask", "ask.price", "all.price", ""},
	} {
		err := take(step.to, step.id, step.from, step.export, step.subject, step.local)
		if step.refused == "" {
			if err != nil {
				t.Errorf("%v: %v", step, err)
			}
			continue
		}
		wantError(t, err, errs.Precondition, step.refused)
	}

	// The way back leads through another organization.
	pass := func(by, to *caller, from, targetOrg, target string) string {
		t.Helper()
		by.export(t, from, "loop", "loop.>", apiv1.Export_TYPE_SERVICE, apiv1.Export_AUDIENCE_OFFERED)
		if _, err := by.shares.CreateShareOffer(ctx, &apiv1.CreateShareOfferRequest{Parent: from + "/exports/loop", TargetOrganization: targetOrg}); err != nil {
			t.Fatal(err)
		}
		list := must[*apiv1.ListSharesResponse](t, "list")(to.shares.ListShares(ctx, &apiv1.ListSharesRequest{Parent: targetOrg})).GetShares()
		if err := accept(t, to, list[0].GetName(), target); err != nil {
			t.Fatal(err)
		}
		return list[0].GetName()
	}
	there := pass(owner, other, account("mail"), globex, globexAccount)
	back := pass(other, owner, globexAccount, acme, account("mail"))
	if err := try(other, globexAccount, "loop", there, "loop.x", ""); err != nil {
		t.Fatal(err)
	}
	wantError(t, try(owner, account("mail"), "loop", back, "loop.*", ""), errs.Precondition, "IMPORT_CYCLE")
	if err := try(owner, account("mail"), "loop", back, "loop.y", ""); err != nil {
		t.Error(err)
	}

	// A stock server takes everything that was taken.
	s := p.stock(t)
	for _, id := range []string{"default", "shop", "stock", "mail"} {
		claims := p.claims(t, p.keyOf(t, account(id)))
		if n := s.imports(t, claims.Subject); n != len(claims.Imports) {
			t.Errorf("of the %d imports of %s a stock server has %d", len(claims.Imports), id, n)
		}
	}

	// A stream is followed only as far as the account on the way exports it: a wider
	// export can close a cycle, and the imports say so.
	owner.export(t, account("stock"), "wide", "wide.a", apiv1.Export_TYPE_STREAM, 0)
	owner.export(t, account("mail"), "wide", "wide.>", apiv1.Export_TYPE_STREAM, 0)
	for _, err := range []error{
		take("stock", "wide", "mail", "wide", "wide.b", ""),
		take("mail", "wide", "stock", "wide", "wide.a", "wide.b"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if i := owner.imported(t, account("mail")+"/imports/wide"); i.GetState() != apiv1.Import_STATE_ACTIVE {
		t.Errorf("before: %v", i)
	}
	widened := must[*apiv1.UpdateExportResponse](t, "widen")(owner.exports.UpdateExport(ctx, &apiv1.UpdateExportRequest{
		Export: &apiv1.Export{Name: account("stock") + "/exports/wide", Subject: "wide.*"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"subject"}},
	}))
	if !slices.Equal(widened.GetBrokenImports(), []string{account("mail") + "/imports/wide"}) {
		t.Errorf("widening breaks %v", widened.GetBrokenImports())
	}
	if i := owner.imported(t, account("mail")+"/imports/wide"); i.GetState() != apiv1.Import_STATE_BROKEN || i.GetBrokenReason() != "CYCLE" {
		t.Errorf("after: %v", i)
	}
}
