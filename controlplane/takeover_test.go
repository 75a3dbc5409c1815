package controlplane_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// elsewhere is an operator that was made with the claims library, as other
// tools do.
type elsewhere struct {
	t     *testing.T
	seeds map[string]accounts.Seed
	pairs map[string]nkeys.KeyPair

	root, signing, system string
	first, second         *jwt.AccountClaims
	role                  string
	users                 map[string]string // creds by name
	jwts                  map[string]string // user JWTs by name
}

func (e *elsewhere) key(prefix nkeys.PrefixByte) string {
	e.t.Helper()
	pair, err := nkeys.CreatePair(prefix)
	if err != nil {
		e.t.Fatal(err)
	}
	public, _ := pair.PublicKey()
	text, _ := pair.Seed()
	seed, err := accounts.ParseSeed(text)
	if err != nil {
		e.t.Fatal(err)
	}
	e.seeds[public], e.pairs[public] = seed, pair
	return public
}

func (e *elsewhere) sign(c jwt.Claims, by string) string {
	e.t.Helper()
	text, err := c.Encode(e.pairs[by])
	if err != nil {
		e.t.Fatal(err)
	}
	return text
}

func (e *elsewhere) user(name, account, by string, change func(*jwt.UserClaims)) {
	e.t.Helper()
	key := e.key(nkeys.PrefixByteUser)
	u := jwt.NewUserClaims(key)
	u.Name = name
	if by != account {
		u.IssuerAccount = account
	}
	change(u)
	e.jwts[name] = e.sign(u, by)
	creds, err := jwt.FormatUserConfig(e.jwts[name], e.seeds[key].Reveal())
	if err != nil {
		e.t.Fatal(err)
	}
	e.users[name] = string(creds)
}

// newElsewhere makes an operator with two accounts in which there is a bit of
// everything.
func newElsewhere(t *testing.T) *elsewhere {
	e := &elsewhere{t: t, seeds: map[string]accounts.Seed{}, pairs: map[string]nkeys.KeyPair{}, users: map[string]string{}, jwts: map[string]string{}}
	e.root, e.signing, e.system = e.key(nkeys.PrefixByteOperator), e.key(nkeys.PrefixByteOperator), e.key(nkeys.PrefixByteAccount)
	first, second := e.key(nkeys.PrefixByteAccount), e.key(nkeys.PrefixByteAccount)
	plain, scoped := e.key(nkeys.PrefixByteAccount), e.key(nkeys.PrefixByteAccount)
	e.role = scoped
	a := jwt.NewAccountClaims(first)
	a.Name = "default"
	a.Limits.Conn, a.Limits.Payload, a.Limits.Exports = 25, 4096, 7
	a.Limits.WildcardExports = true
	a.Tags.Add("tier:gold", "covey-limit:msgs-in=100000/100000/slow")
	a.Description = "the first"
	a.SigningKeys.Add(plain)
	scope := jwt.NewUserScope()
	scope.Key, scope.Role, scope.Description = scoped, "Read Only", "reads"
	scope.Template.Sub.Allow.Add("orders.>", "_INBOX.>")
	scope.Template.Pub.Deny.Add("secret.>")
	scope.Template.Resp = &jwt.ResponsePermission{MaxMsgs: 3, Expires: time.Minute}
	scope.Template.Pub.Allow.Add("ask.>")
	scope.Template.Subs = 12
	a.SigningKeys.AddScopedSigner(scope)
	a.Exports.Add(&jwt.Export{Name: "prices", Subject: "price.*", Type: jwt.Service, TokenReq: true},
		&jwt.Export{Name: "news", Subject: "news.>", Type: jwt.Stream},
		&jwt.Export{Name: "per account", Subject: "own.*.>", Type: jwt.Stream, AccountTokenPosition: 2})
	a.Mappings = jwt.Mapping{"old": {{Subject: "new", Weight: 100}}}
	e.first = a
	b := jwt.NewAccountClaims(second)
	b.Name = "The Shop"
	right := jwt.NewActivationClaims(second)
	right.ImportSubject, right.ImportType, right.IssuerAccount = "price.*", jwt.Service, first
	b.Imports.Add(&jwt.Import{Name: "prices", Subject: "price.*", Account: first, Type: jwt.Service, Token: e.sign(right, plain), LocalSubject: "shop.price.$1"},
		&jwt.Import{Name: "news", Subject: "news.>", Account: first, Type: jwt.Stream})
	e.second = b
	everything := func(*jwt.UserClaims) {}
	e.user("old", first, first, everything)
	e.user("Limited One", first, plain, func(u *jwt.UserClaims) {
		u.Pub.Allow.Add("orders.>")
		u.Subs, u.Expires = 5, time.Now().Add(time.Hour).Unix()
		u.Src.Add("127.0.0.0/8")
	})
	e.user("reader", first, scoped, func(u *jwt.UserClaims) { u.SetScoped(true) })
	e.user("gone", first, first, everything)
	e.user("shopper", second, second, everything)
	gone, _ := jwt.DecodeUserClaims(e.jwts["gone"])
	a.Revocations = jwt.RevocationList{gone.Subject: time.Now().Unix() + 5}
	return e
}

func (e *elsewhere) takeover() controlplane.Takeover {
	operator := jwt.NewOperatorClaims(e.root)
	operator.Name, operator.SystemAccount = "PROD", e.system
	operator.SigningKeys.Add(e.signing)
	system := jwt.NewAccountClaims(e.system)
	system.Name = "SYS"
	seeds := maps.Clone(e.seeds)
	return controlplane.Takeover{
		Root: &controlplane.ForeignRoot{Operator: e.sign(operator, e.root), Seeds: seeds, System: e.sign(system, e.signing)},
		Accounts: []controlplane.ForeignAccount{
			{Organization: "acme", JWT: e.sign(e.first, e.signing), Seeds: seeds, Users: []string{e.jwts["old"], e.jwts["Limited One"], e.jwts["reader"], e.jwts["gone"]}},
			{Organization: "acme", JWT: e.sign(e.second, e.root), Seeds: seeds, Users: []string{e.jwts["shopper"]}},
		},
	}
}

func takeOver(t *testing.T, dir string, in controlplane.Takeover) (controlplane.TakenOver, error) {
	t.Helper()
	log := &logBuffer{}
	out, err := controlplane.TakeOver(t.Context(), config(dir, log), in)
	for _, f := range append(in.Accounts, controlplane.ForeignAccount{}) {
		for _, seed := range f.Seeds {
			if strings.Contains(log.String(), string(seed.Reveal())) {
				t.Fatal("a seed is in the log")
			}
		}
	}
	return out, err
}

// startTaken starts a control plane on what was taken over.
func startTaken(t *testing.T, dir string) (*plane, *caller) {
	t.Helper()
	p := start(t, dir)
	p.key = secretFile(t, filepath.Join(dir, "operator.key"))
	return p, p.as(t, secretFile(t, filepath.Join(dir, "owners", "acme.key")))
}

func reasonOf(err error) string {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

func secretFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %v", path, info.Mode())
	}
	return strings.TrimSpace(string(text))
}

// sameClaims compares what two accounts' claims say: all but when, by whom and
// under which name.
func sameClaims(t *testing.T, what string, got, want *jwt.AccountClaims) {
	t.Helper()
	byName := func(a, b *jwt.Export) bool { return a.Subject < b.Subject }
	byImport := func(a, b *jwt.Import) bool { return a.Subject < b.Subject }
	options := []cmp.Option{
		cmpopts.IgnoreFields(jwt.ClaimsData{}, "ID", "IssuedAt", "Issuer", "Name", "Audience"), cmpopts.EquateEmpty(),
		cmpopts.IgnoreFields(jwt.GenericFields{}, "Version"), cmpopts.SortSlices(byName), cmpopts.SortSlices(byImport),
		cmpopts.SortSlices(func(a, b string) bool { return a < b }),
		cmp.Transformer("service", func(r jwt.ResponseType) string { return strings.TrimSuffix(string(r), jwt.ResponseTypeSingleton) }),
	}
	if d := cmp.Diff(want, got, options...); d != "" {
		t.Errorf("%s says other things (- before, + now):\n%s", what, d)
	}
}

// What was made elsewhere says the same here, and its credentials go on working
// on both kinds of servers.
func TestTakenOverAccountsStayAsTheyWere(t *testing.T) {
	e, dir := newElsewhere(t), t.TempDir()
	in := e.takeover()
	out, err := takeOver(t, dir, in)
	if err != nil {
		t.Fatal(err)
	}
	if out.Accounts != 2 || out.Users != 5 || out.Exports != 1 || out.Imports != 1 || out.RootChanged {
		t.Errorf("taken over: %+v", out)
	}
	again, err := takeOver(t, dir, in)
	if err != nil || again.Known != 2 || again.Accounts+again.Users+len(again.KeyFiles) != 0 {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	p, owner := startTaken(t, dir)
	if p.OperatorPublicKey() != e.root {
		t.Errorf("the operator is %s, not %s", p.OperatorPublicKey(), e.root)
	}
	for _, was := range []*jwt.AccountClaims{e.first, e.second} {
		got := p.claims(t, was.Subject)
		sameClaims(t, was.Name, got, was)
		if got.Issuer != e.signing {
			t.Errorf("signed by %s", got.Issuer)
		}
	}
	p.judges(t, func(t *testing.T, j judge) {
		old := j.mustConnect(t, e.users["old"])
		reader := j.mustConnect(t, e.users["reader"])
		shopper := j.mustConnect(t, e.users["shopper"])
		j.mustConnect(t, e.users["Limited One"])
		j.wantRefused(t, e.users["gone"], "revoked before")
		answerer(t, old, "price.*")
		wantAnswer(t, shopper, "shop.price.tea", "price.tea")
		if _, err := reader.SubscribeSync("secret.x"); err == nil {
			if err := reader.Flush(); err == nil && reader.LastError() == nil {
				t.Error("the reader subscribes to what its role does not allow")
			}
		}
		user := must[*apiv1.CreateUserResponse](t, "user")(owner.users.CreateUser(t.Context(), &apiv1.CreateUserRequest{
			Parent: acmeAccount, UserId: "u" + strings.ToLower(strings.ReplaceAll(filepath.Base(t.Name()), "_", "-")), User: &apiv1.User{Role: "read-only"},
		}))
		j.mustConnect(t, owner.issue(t, user.GetUser().GetName()).GetCredsFile())
	})
}

// A credential that never expires is refused for good once it is revoked.
func TestTakenOverCredentialsAreRevoked(t *testing.T) {
	e, dir := newElsewhere(t), t.TempDir()
	if _, err := takeOver(t, dir, e.takeover()); err != nil {
		t.Fatal(err)
	}
	p, owner := startTaken(t, dir)
	user := acmeAccount + "/users/old"
	list := must[*apiv1.ListCredentialsResponse](t, "list")(owner.credentials.ListCredentials(t.Context(), &apiv1.ListCredentialsRequest{Parent: user})).GetCredentials()
	if len(list) != 1 || list[0].GetExpireTime() != nil || list[0].GetState() != apiv1.Credential_STATE_ACTIVE {
		t.Fatalf("credentials are %v", list)
	}
	must[*apiv1.RevokeCredentialResponse](t, "revoke")(owner.credentials.RevokeCredential(t.Context(), &apiv1.RevokeCredentialRequest{Name: list[0].GetName()}))
	if at := p.claims(t, e.first.Subject).Revocations[list[0].GetPublicKey()]; at == 0 {
		t.Error("the revocation of a credential that never expires lapsed at once")
	}
	p.stock(t).wantRefused(t, e.users["old"], "revoked")
}

// What cannot be taken over is refused before anything is written.
func TestTakeOverRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(e *elsewhere, in *controlplane.Takeover)
		reason string
	}{
		"wrong seed":              {func(e *elsewhere, in *controlplane.Takeover) { in.Root.Seeds[e.signing] = in.Root.Seeds[e.root] }, "WRONG_SEED"},
		"no signing key":          {func(e *elsewhere, in *controlplane.Takeover) { delete(in.Root.Seeds, e.signing) }, "NO_SIGNING_KEY"},
		"no system account":       {func(_ *elsewhere, in *controlplane.Takeover) { in.Root.System = "" }, "NO_SYSTEM_ACCOUNT"},
		"user of another account": {func(e *elsewhere, in *controlplane.Takeover) { in.Accounts[0].Users = []string{e.jwts["shopper"]} }, "WRONG_ACCOUNT"},
		"twice":                   {func(_ *elsewhere, in *controlplane.Takeover) { in.Accounts = append(in.Accounts, in.Accounts[0]) }, "ACCOUNT_TWICE"},
		"forged": {func(_ *elsewhere, in *controlplane.Takeover) {
			in.Accounts[0].JWT = in.Accounts[0].JWT[:len(in.Accounts[0].JWT)-4] + "AAAA"
		}, "INVALID_CLAIMS"},
		"no operator to sign": {func(_ *elsewhere, in *controlplane.Takeover) { in.Root = nil }, "STORE_EMPTY"},
	} {
		t.Run(name, func(t *testing.T) {
			e, dir := newElsewhere(t), t.TempDir()
			in := e.takeover()
			c.spoil(e, &in)
			_, err := takeOver(t, dir, in)
			if got := reasonOf(err); got != c.reason {
				t.Errorf("refused with %s: %v, want %s", got, err, c.reason)
			}
		})
	}
}

// Accounts alone come to an operator that is there, and another operator does
// not.
func TestTakeOverAccountsOnly(t *testing.T) {
	e, dir := newElsewhere(t), t.TempDir()
	p := start(t, dir)
	p.signUp(t, "globex")
	key := p.key
	p.stop()
	in := e.takeover()
	if _, err := takeOver(t, dir, in); reasonOf(err) != "STORE_NOT_EMPTY" {
		t.Errorf("another operator: %v", err)
	}
	in.Root = nil
	out, err := takeOver(t, dir, in)
	if err != nil || out.Accounts != 2 || len(out.KeyFiles) != 1 {
		t.Fatalf("accounts only: %+v, %v", out, err)
	}
	p = start(t, dir)
	p.key = key
	got := p.claims(t, e.first.Subject)
	sameClaims(t, "first", got, e.first)
	if got.Issuer == e.signing || !slices.Contains(slices.Collect(maps.Values(out.Names)), acmeAccount) {
		t.Errorf("signed by %s, called %v", got.Issuer, out.Names)
	}
	p.stock(t).mustConnect(t, e.users["old"])
}
