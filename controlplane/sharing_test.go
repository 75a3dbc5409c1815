package controlplane_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/grpcerr"
	"github.com/coveymq/covey/internal/lifecycle"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const (
	acmeShop      = acme + "/accounts/shop"
	globex        = "organizations/globex"
	globexAccount = globex + "/accounts/default"
)

// newAccount makes an account of an organization with a user, and returns its
// name and the user's credentials.
func (c *caller) newAccount(t *testing.T, organization, id string) (string, string) {
	t.Helper()
	ctx := t.Context()
	name := must[*apiv1.CreateAccountResponse](t, "account")(c.accounts.CreateAccount(ctx, &apiv1.CreateAccountRequest{Parent: organization, AccountId: id})).GetAccount().GetName()
	user := must[*apiv1.CreateUserResponse](t, "user")(c.users.CreateUser(ctx, &apiv1.CreateUserRequest{Parent: name, UserId: "user"})).GetUser().GetName()
	return name, c.issue(t, user).GetCredsFile()
}

func (c *caller) export(t *testing.T, parent, id, subject string, kind apiv1.Export_Type, audience apiv1.Export_Audience) *apiv1.CreateExportResponse {
	t.Helper()
	return must[*apiv1.CreateExportResponse](t, "export")(c.exports.CreateExport(t.Context(), &apiv1.CreateExportRequest{
		Parent: parent, ExportId: id, Export: &apiv1.Export{Subject: subject, Type: kind, Audience: audience},
	}))
}

func (c *caller) imported(t *testing.T, name string) *apiv1.Import {
	t.Helper()
	return must[*apiv1.GetImportResponse](t, "get import")(c.imports.GetImport(t.Context(), &apiv1.GetImportRequest{Name: name})).GetImport()
}

// answerer answers requests on a subject with its own subject.
func answerer(t *testing.T, c *client, subject string) {
	t.Helper()
	if _, err := c.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte(m.Subject)) }); err != nil {
		t.Fatal(err)
	}
	c.wantAlive(t, "subscribed")
}

// wantAnswer asks until the answer is as wanted: brokers learn of interest in
// another account a moment later.
func wantAnswer(t *testing.T, c *client, subject, want string) {
	t.Helper()
	backoff := lifecycle.Backoff{Min: time.Millisecond, Max: 100 * time.Millisecond}
	for {
		m, err := c.Request(subject, nil, 5*time.Second)
		if err == nil && string(m.Data) == want {
			return
		}
		if backoff.Wait(t.Context()) != nil {
			t.Fatalf("%s is answered %v, %v", subject, m, err)
		}
	}
}

// wantNoAnswer asks until nobody is there to answer.
func wantNoAnswer(t *testing.T, c *client, subject, when string) {
	t.Helper()
	backoff := lifecycle.Backoff{Min: time.Millisecond, Max: 100 * time.Millisecond}
	for {
		m, err := c.Request(subject, nil, 300*time.Millisecond)
		if err != nil {
			return
		}
		if backoff.Wait(t.Context()) != nil {
			t.Fatalf("%s %s is answered %q", when, subject, m.Data)
		}
	}
}

// What is imported inside an organization works on a stock nats-server, and
// ends there with the export's audience or with the export.
func TestSharingInsideAnOrganization(t *testing.T) { onBoth(t, sharingInsideAnOrganization) }

func sharingInsideAnOrganization(t *testing.T, open func(*plane, *testing.T) judge) {
	t.Helper()
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	_, shopCreds := owner.newAccount(t, acme, "shop")
	owner.export(t, acmeAccount, "prices", "price.*", apiv1.Export_TYPE_SERVICE, 0)
	made := owner.export(t, acmeAccount, "orders", "orders.>", apiv1.Export_TYPE_STREAM, 0)
	got := must[*apiv1.GetExportResponse](t, "get")(owner.exports.GetExport(ctx, &apiv1.GetExportRequest{Name: acmeAccount + "/exports/orders"})).GetExport()
	if !proto.Equal(got, made.GetExport()) {
		t.Errorf("created %v\nread    %v", made.GetExport(), got)
	}
	importThis := func(id, export, subject, local string) *apiv1.CreateImportResponse {
		return must[*apiv1.CreateImportResponse](t, "import")(owner.imports.CreateImport(ctx, &apiv1.CreateImportRequest{
			Parent: acmeShop, ImportId: id, Import: &apiv1.Import{Source: acmeAccount + "/exports/" + export, Subject: subject, LocalSubject: local},
		}))
	}
	importThis("prices", "prices", "", "shop.price.$1")
	if in := importThis("orders", "orders", "orders.eu.>", "eu.>").GetImport(); !proto.Equal(in, owner.imported(t, in.GetName())) || in.GetState() != apiv1.Import_STATE_ACTIVE {
		t.Errorf("imported %v\nread     %v", in, owner.imported(t, in.GetName()))
	}
	for _, pub := range []string{acmeAccount, acmeShop} {
		account := must[*apiv1.GetAccountResponse](t, "account")(owner.accounts.GetAccount(ctx, &apiv1.GetAccountRequest{Name: pub})).GetAccount()
		claims := p.claims(t, account.GetPublicKey())
		for _, e := range claims.Exports {
			if !e.TokenReq {
				t.Errorf("%s is exported to everybody", e.Subject)
			}
		}
		for _, i := range claims.Imports {
			if i.Token == "" {
				t.Errorf("%s is imported without an activation", i.Subject)
			}
		}
	}

	j := open(p, t)
	exporter, shop := j.mustConnect(t, owner.issue(t, acmeUser).GetCredsFile()), j.mustConnect(t, shopCreds)
	answerer(t, exporter, "price.*")
	wantAnswer(t, shop, "shop.price.tea", "price.tea")
	sub, err := shop.SubscribeSync("eu.>")
	if err != nil {
		t.Fatal(err)
	}
	shop.wantAlive(t, "subscribed")
	for _, subject := range []string{"orders.us.1", "orders.eu.1"} {
		if err := exporter.Publish(subject, []byte(subject)); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := sub.NextMsg(time.Minute); err != nil || m.Subject != "eu.1" || string(m.Data) != "orders.eu.1" {
		t.Errorf("received %v, %v", m, err)
	}

	// A narrower audience takes the right away from who has no offer.
	_, err = owner.exports.DeleteExport(ctx, &apiv1.DeleteExportRequest{Name: acmeAccount + "/exports/prices"})
	wantError(t, err, errs.Precondition, "EXPORT_IN_USE")
	narrowed := must[*apiv1.UpdateExportResponse](t, "narrow")(owner.exports.UpdateExport(ctx, &apiv1.UpdateExportRequest{
		Export: &apiv1.Export{Name: acmeAccount + "/exports/prices", Audience: apiv1.Export_AUDIENCE_OFFERED}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"audience"}},
	}))
	if b := narrowed.GetBrokenImports(); len(b) != 1 || b[0] != acmeShop+"/imports/prices" {
		t.Errorf("broken imports are %v", b)
	}
	j.settle(t, owner, acmeAccount, narrowed.GetOperation())
	wantNoAnswer(t, shop, "shop.price.tea", "outside the audience")
	if i := owner.imported(t, acmeShop+"/imports/prices"); i.GetState() != apiv1.Import_STATE_BROKEN || i.GetBrokenReason() != "REVOKED" {
		t.Errorf("the import is %v", i)
	}
	_, err = owner.imports.CreateImport(ctx, &apiv1.CreateImportRequest{
		Parent: acmeShop, ImportId: "again", Import: &apiv1.Import{Source: acmeAccount + "/exports/prices"},
	})
	wantError(t, err, errs.Precondition, "NOT_OFFERED")

	gone := must[*apiv1.DeleteExportResponse](t, "delete")(owner.exports.DeleteExport(ctx, &apiv1.DeleteExportRequest{Name: acmeAccount + "/exports/orders", Force: true}))
	if len(gone.GetBrokenImports()) != 1 {
		t.Errorf("deleting broke %v", gone.GetBrokenImports())
	}
	// An export of the same id is another one.
	anew := owner.export(t, acmeAccount, "orders", "orders.>", apiv1.Export_TYPE_STREAM, 0)
	j.settle(t, owner, acmeAccount, anew.GetOperation())
	if err := exporter.Publish("orders.eu.2", nil); err != nil {
		t.Fatal(err)
	}
	exporter.wantAlive(t, "published")
	if m, err := sub.NextMsg(300 * time.Millisecond); err == nil {
		t.Errorf("after the export's end %s arrives", m.Subject)
	}
	must[*apiv1.DeleteImportResponse](t, "delete")(owner.imports.DeleteImport(ctx, &apiv1.DeleteImportRequest{Name: acmeShop + "/imports/orders"}))
	list := must[*apiv1.ListImportsResponse](t, "list")(owner.imports.ListImports(ctx, &apiv1.ListImportsRequest{Parent: acmeShop})).GetImports()
	if len(list) != 1 {
		t.Errorf("imports are %v", list)
	}
}

// Between organizations it takes two, and either side ends it.
func TestSharingBetweenOrganizations(t *testing.T) { onBoth(t, sharingBetweenOrganizations) }

func sharingBetweenOrganizations(t *testing.T, open func(*plane, *testing.T) judge) {
	t.Helper()
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	other, buyer := p.signUp(t, "globex")
	_, third := p.signUp(t, "initech")
	ctx := t.Context()
	owner.export(t, acmeAccount, "prices", "price.*", apiv1.Export_TYPE_SERVICE, apiv1.Export_AUDIENCE_OFFERED)
	offer := func(target string) *apiv1.ShareOffer {
		return must[*apiv1.CreateShareOfferResponse](t, "offer")(owner.shares.CreateShareOffer(ctx, &apiv1.CreateShareOfferRequest{
			Parent: acmeAccount + "/exports/prices", TargetOrganization: target, Message: "tea only", Subject: "price.tea", ShareTtlSeconds: 3600,
		})).GetShareOffer()
	}
	// Whether there is such an organization is not told.
	if nobody, somebody := offer("organizations/nobody"), offer("organizations/initech"); nobody.GetState() != somebody.GetState() {
		t.Error("an offer tells whether the organization is there")
	}
	made := offer(globex)
	received := must[*apiv1.ListSharesResponse](t, "list")(buyer.shares.ListShares(ctx, &apiv1.ListSharesRequest{Parent: globex})).GetShares()
	if len(received) != 1 || received[0].GetSourceOrganization() != acme || received[0].GetSubject() != "price.tea" || received[0].GetState() != apiv1.ShareState_SHARE_STATE_OFFERED {
		t.Fatalf("received %v", received)
	}
	share := received[0].GetName()
	take := func(id string) (*apiv1.CreateImportResponse, error) {
		return buyer.imports.CreateImport(ctx, &apiv1.CreateImportRequest{
			Parent: globexAccount, ImportId: id, Import: &apiv1.Import{Source: share, LocalSubject: "acme.tea"},
		})
	}
	_, err := take("early")
	wantError(t, err, errs.Precondition, "SHARE_NOT_ACCEPTED")
	_, err = buyer.imports.CreateImport(ctx, &apiv1.CreateImportRequest{
		Parent: globexAccount, ImportId: "direct", Import: &apiv1.Import{Source: acmeAccount + "/exports/prices"},
	})
	wantError(t, err, errs.Precondition, "SOURCE_NOT_FOUND")
	// Nobody else sees or takes it, under whatever name.
	stranger := "organizations/initech/shares/" + lastOf(share)
	for name, f := range map[string]func() error{
		"read":     func() error { _, err := third.shares.GetShare(ctx, &apiv1.GetShareRequest{Name: stranger}); return err },
		"foreign":  func() error { _, err := third.shares.GetShare(ctx, &apiv1.GetShareRequest{Name: share}); return err },
		"accept":   func() error { return accept(t, third, stranger, "organizations/initech/accounts/default") },
		"own side": func() error { return accept(t, owner, acme+"/shares/"+lastOf(share), acmeAccount) },
		"offer": func() error {
			_, err := buyer.shares.GetShareOffer(ctx, &apiv1.GetShareOfferRequest{Name: globexAccount + "/exports/prices/offers/" + lastOf(share)})
			return err
		},
		"revoke": func() error {
			_, err := buyer.shares.RevokeShareOffer(ctx, &apiv1.RevokeShareOfferRequest{Name: globexAccount + "/exports/prices/offers/" + lastOf(share)})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, f(), errs.NotFound, "RESOURCE_NOT_FOUND") })
	}
	wantError(t, accept(t, buyer, share, acmeAccount), errs.Precondition, "ACCOUNT_NOT_FOUND")
	if err := accept(t, buyer, share, globexAccount); err != nil {
		t.Fatal(err)
	}
	wantError(t, accept(t, buyer, share, globexAccount), errs.Precondition, "SHARE_ACCEPTED")
	in := must[*apiv1.CreateImportResponse](t, "import")(take("tea")).GetImport()
	if left := time.Until(in.GetExpireTime().AsTime()); left > time.Hour || left < 50*time.Minute {
		t.Errorf("the import lives another %v", left)
	}
	_, err = buyer.imports.CreateImport(ctx, &apiv1.CreateImportRequest{Parent: globexAccount, ImportId: "more", Import: &apiv1.Import{Source: share, Subject: "price.*"}})
	wantError(t, err, errs.Invalid, "INVALID_SHARE")
	_, err = buyer.shares.RejectShare(ctx, &apiv1.RejectShareRequest{Name: share})
	wantError(t, err, errs.Precondition, "SHARE_IN_USE")

	p.wantDependents(t, owner, made.GetName(), in.GetName())

	j := open(p, t)
	seller, client := j.mustConnect(t, owner.issue(t, acmeUser).GetCredsFile()), j.mustConnect(t, other.GetCredsFile())
	answerer(t, seller, "price.*")
	wantAnswer(t, client, "acme.tea", "price.tea")
	revoked := must[*apiv1.RevokeShareOfferResponse](t, "revoke")(owner.shares.RevokeShareOffer(ctx, &apiv1.RevokeShareOfferRequest{Name: made.GetName()}))
	if revoked.GetShareOffer().GetState() != apiv1.ShareState_SHARE_STATE_REVOKED || revoked.GetOperation() == nil {
		t.Errorf("revoked: %v", revoked)
	}
	j.settle(t, owner, acmeAccount, revoked.GetOperation())
	wantNoAnswer(t, client, "acme.tea", "revoked,")
	if i := buyer.imported(t, in.GetName()); i.GetState() != apiv1.Import_STATE_BROKEN || i.GetBrokenReason() != "SHARE_ENDED" {
		t.Errorf("the import is %v", i)
	}
	_, err = owner.shares.RevokeShareOffer(ctx, &apiv1.RevokeShareOfferRequest{Name: made.GetName()})
	wantError(t, err, errs.Precondition, "SHARE_OVER")
	wantError(t, accept(t, buyer, share, globexAccount), errs.Precondition, "SHARE_OVER")
}

// wantDependents tries to end acme's account: its owner is told of the offer that
// others take from, and only the staff of which account of theirs has which import.
func (p *plane) wantDependents(t *testing.T, owner *caller, offer, theirs string) {
	t.Helper()
	for name, by := range map[string]*caller{"owner": owner, "staff": p.as(t, p.key)} {
		tried := must[*apiv1.DeleteAccountResponse](t, "try")(by.accounts.DeleteAccount(t.Context(), &apiv1.DeleteAccountRequest{Name: acmeAccount, ValidateOnly: true}))
		if got := tried.GetImpact().GetDependents(); !slices.Contains(got, offer) || slices.Contains(got, theirs) != (name == "staff") {
			t.Errorf("%s is told of %q", name, got)
		}
	}
}

func accept(t *testing.T, by *caller, share, account string) error {
	t.Helper()
	_, err := by.shares.AcceptShare(t.Context(), &apiv1.AcceptShareRequest{Name: share, Account: account})
	return err
}

func lastOf(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			return name[i+1:]
		}
	}
	return name
}

// A key for one account imports from that account's exports and from no other
// that it does not reach.
func TestAnImportReachesNoFurtherThanItsMaker(t *testing.T) {
	p := start(t, t.TempDir())
	_, owner := p.signUp(t, "acme")
	ctx := t.Context()
	owner.newAccount(t, acme, "shop")
	owner.export(t, acmeAccount, "prices", "price.*", apiv1.Export_TYPE_SERVICE, 0)
	_, _, ci := p.serviceAccount(t, owner, "ci", &apiv1.RoleBinding{Role: "admin", Account: acmeShop})
	_, err := ci.imports.CreateImport(ctx, &apiv1.CreateImportRequest{Parent: acmeShop, ImportId: "prices", Import: &apiv1.Import{Source: acmeAccount + "/exports/prices"}})
	wantError(t, err, errs.Precondition, "SOURCE_NOT_FOUND")
	for name, e := range map[string]*apiv1.Export{
		"no type": {Subject: "a"}, "no subject": {Type: apiv1.Export_TYPE_STREAM}, "a stream that answers": {Subject: "a", Type: apiv1.Export_TYPE_STREAM, ResponseThresholdMs: 5},
		"unknown type": {Subject: "a", Type: 9}, "wild measurements": {Subject: "a", Type: apiv1.Export_TYPE_SERVICE, LatencySubject: "a.*"},
		"spaces": {Subject: "a b", Type: apiv1.Export_TYPE_STREAM}, "overlap": {Subject: "price.tea", Type: apiv1.Export_TYPE_SERVICE},
	} {
		_, err := owner.exports.CreateExport(ctx, &apiv1.CreateExportRequest{Parent: acmeAccount, ExportId: "other", Export: e})
		if code := errs.CodeOf(grpcerr.FromStatus(err)); code != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The end of an account is the end of what it shares.
	owner.export(t, acmeShop, "stock", "stock.>", apiv1.Export_TYPE_STREAM, 0)
	must[*apiv1.CreateImportResponse](t, "import")(owner.imports.CreateImport(ctx, &apiv1.CreateImportRequest{
		Parent: acmeAccount, ImportId: "stock", Import: &apiv1.Import{Source: acmeShop + "/exports/stock"},
	}))
	offer := must[*apiv1.CreateShareOfferResponse](t, "offer")(owner.shares.CreateShareOffer(ctx, &apiv1.CreateShareOfferRequest{
		Parent: acmeShop + "/exports/stock", TargetOrganization: globex,
	}))
	_, buyer := p.signUp(t, "globex")
	must[*apiv1.DeleteAccountResponse](t, "delete")(owner.accounts.DeleteAccount(ctx, &apiv1.DeleteAccountRequest{Name: acmeShop}))
	must[*apiv1.PurgeAccountResponse](t, "purge")(owner.accounts.PurgeAccount(ctx, &apiv1.PurgeAccountRequest{Name: acmeShop}))
	if i := owner.imported(t, acmeAccount+"/imports/stock"); i.GetBrokenReason() != "EXPORT_GONE" {
		t.Errorf("the import is %v", i)
	}
	wantError(t, accept(t, buyer, globex+"/shares/"+lastOf(offer.GetShareOffer().GetName()), globexAccount), errs.Precondition, "SHARE_OVER")
}
