package controlplane_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/internal/errs"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// staff is the operator's staff.
func (p *plane) staff(t *testing.T) adminv1.OperatorServiceClient {
	t.Helper()
	return adminv1.NewOperatorServiceClient(p.as(t, p.key).conn)
}

func (p *plane) operator(t *testing.T, retire string) *adminv1.Operator {
	t.Helper()
	return must[*adminv1.GetOperatorResponse](t, "operator")(p.staff(t).GetOperator(t.Context(), &adminv1.GetOperatorRequest{RetirePublicKey: retire})).GetOperator()
}

func operatorKeys(o *adminv1.Operator, state adminv1.OperatorSigningKey_State) (keys []string) {
	for _, k := range o.GetKeys() {
		if k.GetState() == state {
			keys = append(keys, k.GetPublicKey())
		}
	}
	return keys
}

// resigned waits until a key signs and every account is signed by it.
func (p *plane) resigned(t *testing.T, key string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		o := p.operator(t, "")
		if r := o.GetResigning(); r.GetPublicKey() == key && r.GetFinishTime() != nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("accounts are not signed again: %v", o)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// signedOffline is what somebody with the root's file makes of a request.
func signedOffline(t *testing.T, file, request string) string {
	t.Helper()
	seed := must[accounts.Seed](t, "root file")(controlplane.ReadRoot(file))
	signer := must[accounts.Signer](t, "root")(seed.Signer())
	return must[accounts.SignedOperator](t, "sign")(accounts.SignOperatorRequest(request, signer)).JWT
}

// stockTrusting is a stock nats-server that trusts an operator by its JWT.
func (p *plane) stockTrusting(t *testing.T, operator string) judge {
	t.Helper()
	resolver := must[*server.URLAccResolver](t, "resolver")(server.NewURLAccResolver("http://" + p.HTTPAddr() + "/jwt/v1/accounts/"))
	claims := must[*jwt.OperatorClaims](t, "operator")(jwt.DecodeOperatorClaims(operator))
	s := must[*server.Server](t, "stock nats-server")(server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, AccountResolver: resolver,
		TrustedOperators: []*jwt.OperatorClaims{claims}, SystemAccount: claims.SystemAccount,
	}))
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("stock nats-server does not start")
	}
	return judge{url: s.ClientURL()}
}

// offlinePlane starts a control plane whose root key is in a file.
func offlinePlane(t *testing.T) (p *plane, rootFile, seed string) {
	t.Helper()
	dir, rootFile := t.TempDir(), filepath.Join(t.TempDir(), "root.nk")
	log := &logBuffer{}
	made := must[controlplane.NewRoot](t, "init")(controlplane.InitOperator(t.Context(), config(dir, log), rootFile))
	seed = secretFile(t, rootFile)
	p = start(t, dir)
	p.key = secretFile(t, made.KeyFile)
	if p.OperatorPublicKey() != made.PublicKey {
		t.Errorf("the operator is %s, not %s", p.OperatorPublicKey(), made.PublicKey)
	}
	t.Cleanup(func() {
		for _, text := range []string{log.String(), p.log.String()} {
			if strings.Contains(text, seed) || strings.Contains(text, p.key) || secretsIn(text) {
				t.Error("a secret is in the log")
			}
		}
	})
	return p, rootFile, seed
}

// secretsIn finds seeds of operators, accounts and users.
func secretsIn(text string) bool {
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r < '0' || r > '9' && r < 'A' || r > 'Z' }) {
		if _, _, err := nkeys.DecodeSeed([]byte(word)); err == nil {
			return true
		}
	}
	return false
}

// The operator's signing key is changed twice with the root key offline: clients
// stay connected, accounts made meanwhile are signed by the new key, and what the
// retired key signed is refused.
func TestTheOperatorsKeyChangesWithItsRootOffline(t *testing.T) {
	p, rootFile, seed := offlinePlane(t)
	signed, owner := p.signUp(t, "acme")
	b := p.broker(t)
	c := b.mustConnect(t, signed.GetCredsFile())
	stock := p.stockTrusting(t, p.operator(t, "").GetJwt())
	onStock := stock.mustConnect(t, signed.GetCredsFile())
	before := p.operator(t, "")
	first := operatorKeys(before, adminv1.OperatorSigningKey_STATE_ACTIVE)[0]
	if before.GetRootCustody() != adminv1.Operator_ROOT_CUSTODY_OFFLINE || before.GetSigningRequest() != "" {
		t.Errorf("the operator is %v", before)
	}

	staged := must[*adminv1.StageOperatorKeyResponse](t, "stage")(p.staff(t).StageOperatorKey(t.Context(), &adminv1.StageOperatorKeyRequest{})).GetOperator()
	second := operatorKeys(staged, adminv1.OperatorSigningKey_STATE_STAGED)[0]
	_, err := p.staff(t).StageOperatorKey(t.Context(), &adminv1.StageOperatorKeyRequest{})
	wantError(t, err, errs.Precondition, "KEY_STAGED")
	_, err = p.staff(t).PromoteOperatorKey(t.Context(), &adminv1.PromoteOperatorKeyRequest{})
	wantError(t, err, errs.Precondition, "ROOT_OFFLINE")
	_, err = p.staff(t).PromoteOperatorKey(t.Context(), &adminv1.PromoteOperatorKeyRequest{OperatorJwt: before.GetJwt()})
	wantError(t, err, errs.Invalid, "OPERATOR_JWT_WRONG")
	next := signedOffline(t, rootFile, staged.GetSigningRequest())
	must[*adminv1.PromoteOperatorKeyResponse](t, "promote")(p.staff(t).PromoteOperatorKey(t.Context(), &adminv1.PromoteOperatorKeyRequest{OperatorJwt: next}))

	// Changes go on meanwhile.
	var wg sync.WaitGroup
	var made []*apiv1.Account
	wg.Go(func() {
		for i := range 130 {
			r, err := owner.accounts.CreateAccount(t.Context(), &apiv1.CreateAccountRequest{Parent: "organizations/acme", AccountId: fmt.Sprintf("a%d", i)})
			if err != nil {
				t.Errorf("create an account: %v", err)
				return
			}
			made = append(made, r.GetAccount())
		}
	})
	p.resigned(t, second)
	wg.Wait()
	account := must[*apiv1.GetAccountResponse](t, "account")(owner.accounts.GetAccount(t.Context(), &apiv1.GetAccountRequest{Name: acmeAccount})).GetAccount()
	for _, a := range append(made, account) {
		if by := p.claims(t, a.GetPublicKey()).Issuer; by != second {
			t.Fatalf("account %s is signed by %s, not %s", a.GetName(), by, second)
		}
	}
	if by := p.claims(t, controlplane.SystemAccount(p.Server)).Issuer; by != second {
		t.Errorf("the system account is signed by %s", by)
	}
	c.wantAlive(t, "after another key signs")
	onStock.wantAlive(t, "after another key signs")
	b.mustConnect(t, signed.GetCredsFile())
	p.stockTrusting(t, p.operator(t, "").GetJwt()).mustConnect(t, signed.GetCredsFile())

	// The first key goes.
	_, err = p.staff(t).RetireOperatorKey(t.Context(), &adminv1.RetireOperatorKeyRequest{PublicKey: second})
	wantError(t, err, errs.Precondition, "KEY_ACTIVE")
	_, err = p.staff(t).RetireOperatorKey(t.Context(), &adminv1.RetireOperatorKeyRequest{PublicKey: first, OperatorJwt: next})
	wantError(t, err, errs.Invalid, "OPERATOR_JWT_WRONG")
	without := signedOffline(t, rootFile, p.operator(t, first).GetSigningRequest())
	retired := must[*adminv1.RetireOperatorKeyResponse](t, "retire")(p.staff(t).RetireOperatorKey(t.Context(),
		&adminv1.RetireOperatorKeyRequest{PublicKey: first, OperatorJwt: without})).GetOperator()
	if keys := operatorKeys(retired, adminv1.OperatorSigningKey_STATE_RETIRED); !slices.Equal(keys, []string{first}) {
		t.Errorf("retired are %v", keys)
	}
	suspended := must[*apiv1.UpdateAccountResponse](t, "change")(owner.accounts.UpdateAccount(t.Context(), &apiv1.UpdateAccountRequest{
		Account: &apiv1.Account{Name: acmeAccount, Limits: &apiv1.Limits{Connections: proto.Int64(50)}}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"limits.connections"}},
	}))
	b.settle(t, owner, acmeAccount, suspended.GetOperation())
	c.wantAlive(t, "after the first key is refused")
	after := p.stockTrusting(t, p.operator(t, "").GetJwt())
	after.mustConnect(t, signed.GetCredsFile())
	if text := must[[]byte](t, "root file")(os.ReadFile(rootFile)); strings.TrimSpace(string(text)) != seed {
		t.Error("the root's file has changed")
	}
}

// With the root key in the store the control plane signs by itself; once the key
// is detached it does not.
func TestTheRootKeyIsTakenOffline(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	signed, _ := p.signUp(t, "acme")
	key := p.key
	stage := func() string {
		t.Helper()
		r := must[*adminv1.StageOperatorKeyResponse](t, "stage")(p.staff(t).StageOperatorKey(t.Context(), &adminv1.StageOperatorKeyRequest{Reason: "yearly"}))
		return operatorKeys(r.GetOperator(), adminv1.OperatorSigningKey_STATE_STAGED)[0]
	}
	first := operatorKeys(p.operator(t, ""), adminv1.OperatorSigningKey_STATE_ACTIVE)[0]
	second := stage()
	must[*adminv1.PromoteOperatorKeyResponse](t, "promote")(p.staff(t).PromoteOperatorKey(t.Context(), &adminv1.PromoteOperatorKeyRequest{}))
	p.resigned(t, second)
	must[*adminv1.RetireOperatorKeyResponse](t, "retire")(p.staff(t).RetireOperatorKey(t.Context(), &adminv1.RetireOperatorKeyRequest{PublicKey: first}))
	log := p.log
	p.stop()

	file := filepath.Join(t.TempDir(), "root.nk")
	public := must[string](t, "detach")(controlplane.DetachRoot(t.Context(), config(dir, log), file))
	seed := secretFile(t, file)
	if _, err := controlplane.DetachRoot(t.Context(), config(dir, log), file+"2"); reasonOf(err) != "ROOT_OFFLINE" {
		t.Errorf("a second time: %v", err)
	}
	if _, err := controlplane.InitOperator(t.Context(), config(dir, log), file); reasonOf(err) != "STORE_NOT_EMPTY" {
		t.Errorf("init of a store that is not empty: %v", err)
	}
	p = start(t, dir)
	p.key = key
	if p.OperatorPublicKey() != public {
		t.Errorf("the operator is %s, not %s", p.OperatorPublicKey(), public)
	}
	third := stage()
	_, err := p.staff(t).PromoteOperatorKey(t.Context(), &adminv1.PromoteOperatorKeyRequest{})
	wantError(t, err, errs.Precondition, "ROOT_OFFLINE")
	next := signedOffline(t, file, p.operator(t, "").GetSigningRequest())
	must[*adminv1.PromoteOperatorKeyResponse](t, "promote")(p.staff(t).PromoteOperatorKey(t.Context(), &adminv1.PromoteOperatorKeyRequest{OperatorJwt: next}))
	p.resigned(t, third)
	p.stockTrusting(t, next).mustConnect(t, signed.GetCredsFile())
	if text := log.String() + p.log.String(); strings.Contains(text, seed) || secretsIn(text) {
		t.Error("a seed is in the log")
	}
}

// What cannot be a root key's file is refused before anything is written.
func TestTheRootsFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"account": must[string](t, "seed")(seedOf(accounts.NewAccountKey)), "nothing": "hello"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := controlplane.InitOperator(t.Context(), config(t.TempDir(), &logBuffer{}), file); reasonOf(err) != "INVALID_SEED" {
			t.Errorf("%s: %v", name, err)
		}
	}
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte(must[string](t, "seed")(seedOf(accounts.NewOperatorKey))), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := controlplane.InitOperator(t.Context(), config(t.TempDir(), &logBuffer{}), open); reasonOf(err) != "ROOT_FILE" {
		t.Errorf("readable by all: %v", err)
	}
	if _, err := controlplane.InitOperator(t.Context(), config(t.TempDir(), &logBuffer{}), filepath.Join(dir, "none", "x")); reasonOf(err) != "ROOT_FILE" {
		t.Errorf("no directory: %v", err)
	}
}

func seedOf(f func() (accounts.Seed, error)) (string, error) {
	seed, err := f()
	return string(seed.Reveal()), err
}
