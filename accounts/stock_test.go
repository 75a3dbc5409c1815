package accounts_test

import (
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/accounts"
)

// stock is a stock nats-server in operator mode with everything it needs to
// know about one account.
type stock struct {
	server   *server.Server
	resolver *server.MemAccResolver
	signer   accounts.Signer // operator signing key
	account  string
	role     accounts.Signer // scoped
	direct   accounts.Signer // unscoped
	spec     accounts.AccountSpec
}

func startStock(t *testing.T) *stock {
	t.Helper()
	_, _, root := mustSeed(t, accounts.NewOperatorKey)
	s := &stock{resolver: &server.MemAccResolver{}}
	_, signing, signer := mustSeed(t, accounts.NewOperatorKey)
	s.signer = signer
	_, system, _ := mustSeed(t, accounts.NewAccountKey)
	_, s.account, _ = mustSeed(t, accounts.NewAccountKey)
	_, roleKey, role := mustSeed(t, accounts.NewAccountKey)
	_, directKey, direct := mustSeed(t, accounts.NewAccountKey)
	s.role, s.direct = role, direct
	limit := int64(10)
	quotas := accounts.Quotas{accounts.MessagesIn: {Amount: 1000, Burst: 5000, Policy: accounts.Slow}}
	s.spec = accounts.AccountSpec{
		PublicKey: s.account, Name: "acme/orders", Limits: accounts.Limits{Connections: &limit, Subscriptions: &limit, Quotas: quotas},
		Roles: []accounts.Role{{Name: accounts.DefaultRole, Keys: []string{roleKey}}}, Keys: []string{directKey},
	}
	text, err := accounts.SignOperator(accounts.OperatorSpec{Name: "covey", SigningKeys: []string{signing}, SystemAccount: system}, root)
	if err != nil {
		t.Fatal(err)
	}
	operator, err := jwt.DecodeOperatorClaims(text)
	if err != nil {
		t.Fatal(err)
	}
	s.store(t, accounts.AccountSpec{PublicKey: system, Name: "system"})
	s.store(t, s.spec)
	s.server, err = server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true,
		TrustedOperators: []*jwt.OperatorClaims{operator}, AccountResolver: s.resolver, SystemAccount: system,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.server.Start()
	t.Cleanup(func() { s.server.Shutdown(); s.server.WaitForShutdown() })
	if !s.server.ReadyForConnections(time.Minute) {
		t.Fatal("stock nats-server does not start")
	}
	return s
}

func (s *stock) store(t *testing.T, spec accounts.AccountSpec) string {
	t.Helper()
	text, err := accounts.SignAccount(spec, s.signer)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.resolver.Store(spec.PublicKey, text); err != nil {
		t.Fatal(err)
	}
	return text
}

func (s *stock) connect(t *testing.T, spec accounts.UserSpec, signer accounts.Signer) (*nats.Conn, error) {
	t.Helper()
	seed, public, pair := mustSeed(t, accounts.NewUserKey)
	spec.PublicKey, spec.AccountKey, spec.Name = public, s.account, "u"
	token, err := accounts.SignUser(spec, signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := accounts.FormatCreds(token.JWT, seed); err != nil {
		t.Fatal(err)
	}
	c, err := nats.Connect(s.server.ClientURL(), nats.MaxReconnects(0), nats.Timeout(time.Minute),
		nats.UserJWT(func() (string, error) { return token.JWT, nil }, pair.Sign))
	if err == nil {
		t.Cleanup(c.Close)
	}
	return c, err
}

func TestStockServerAcceptsWhatWeIssue(t *testing.T) {
	s := startStock(t)
	scoped, err := s.connect(t, accounts.UserSpec{Expires: time.Now().Add(time.Hour)}, s.role)
	if err != nil {
		t.Fatalf("scoped user: %v", err)
	}
	p := accounts.Permissions{Publish: accounts.Rules{Allow: []string{"in.>"}}, Responses: &accounts.Responses{}}
	direct, err := s.connect(t, accounts.UserSpec{Permissions: &p, Expires: time.Now().Add(time.Hour)}, s.direct)
	if err != nil {
		t.Fatalf("user with permissions: %v", err)
	}
	if _, err := direct.Subscribe("ask", func(m *nats.Msg) { _ = m.Respond([]byte("answer")) }); err != nil {
		t.Fatal(err)
	}
	if err := direct.Flush(); err != nil {
		t.Fatal(err)
	}
	answer, err := scoped.Request("ask", nil, time.Minute)
	if err != nil || string(answer.Data) != "answer" {
		t.Errorf("request = %v, %v", answer, err)
	}
}

func TestStockServerLetsEverythingThroughBesideResponses(t *testing.T) {
	s := startStock(t)
	p := accounts.Permissions{Responses: &accounts.Responses{}}
	c, err := s.connect(t, accounts.UserSpec{Permissions: &p}, s.direct)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := c.SubscribeSync("anything")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Publish("anything", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.NextMsg(time.Minute); err != nil {
		t.Errorf("an empty allow list with responses refuses publishing: %v", err)
	}
}

func TestStockServerRefusesSuspendedAndForeign(t *testing.T) {
	s := startStock(t)
	_, _, foreign := mustSeed(t, accounts.NewAccountKey)
	if _, err := s.connect(t, accounts.UserSpec{}, foreign); err == nil {
		t.Error("a user signed by a key of another account connects")
	}
	c, err := s.connect(t, accounts.UserSpec{}, s.role)
	if err != nil {
		t.Fatal(err)
	}
	account, err := s.server.LookupAccount(s.account)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	c.SetClosedHandler(func(*nats.Conn) { close(closed) })
	spec := s.spec
	spec.Suspended = true
	claims, err := jwt.DecodeAccountClaims(s.store(t, spec))
	if err != nil {
		t.Fatal(err)
	}
	s.server.UpdateAccountClaims(account, claims)
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Error("suspension does not disconnect")
	}
	if _, err := s.connect(t, accounts.UserSpec{}, s.role); err == nil {
		t.Error("a user of a suspended account connects")
	}
}
