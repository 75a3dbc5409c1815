package controlplane_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/controlplane"
	"github.com/coveymq/covey/controlplane/internal/custody/vaulttest"
	"github.com/coveymq/covey/internal/testpostgres"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// everything collects what a control plane logs, down to the last detail.
func everything(log *logBuffer) func(*controlplane.Config) {
	return func(c *controlplane.Config) {
		c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Custodian = "hashivault://covey"
	}
}

// Keys of every kind are made, staged, promoted, rotated, retired, sealed anew,
// detached and used, the ledger moves, calls fail: no seed, key, token or URL with
// a password gets into the log, and Vault sees no secret but data keys.
func TestNoSecretIsInTheLog(t *testing.T) {
	v := vaulttest.New(t)
	url := testpostgres.Start(t).Database(t)
	log := &logBuffer{}
	dir, rootFile := t.TempDir(), filepath.Join(t.TempDir(), "root.nk")
	p := start(t, dir, everything(log))
	key := p.key
	secrets := []string{key, vaulttest.Token, url}
	signed, owner := p.signUp(t, "acme")
	secrets = append(secrets, signed.GetApiKey(), seedIn(t, signed.GetCredsFile()))
	token := must[*adminv1.CreateJoinTokenResponse](t, "join token")(adminv1.NewBrokerServiceClient(p.as(t, p.key).conn).CreateJoinToken(t.Context(), &adminv1.CreateJoinTokenRequest{})).GetJoinToken()
	secrets = append(secrets, token[len(token)-base64.RawURLEncoding.EncodedLen(32):]) // it may have a _ within
	p.enrolled(t, "one", t.TempDir(), token).mustConnect(t, signed.GetCredsFile())

	// A role's key, an account's, the operator's and the fleet's.
	must[*apiv1.RotateKeyNowResponse](t, "rotate")(owner.roles.RotateKeyNow(t.Context(), &apiv1.RotateKeyNowRequest{Name: acmeAccount + "/roles/default"}))
	secrets = append(secrets, seedIn(t, owner.issue(t, acmeAccount+"/users/default").GetCredsFile()))
	staged := must[*adminv1.StageOperatorKeyResponse](t, "stage")(p.staff(t).StageOperatorKey(t.Context(), &adminv1.StageOperatorKeyRequest{}))
	next := operatorKeys(staged.GetOperator(), adminv1.OperatorSigningKey_STATE_STAGED)[0]
	must[*adminv1.PromoteOperatorKeyResponse](t, "promote")(p.staff(t).PromoteOperatorKey(t.Context(), &adminv1.PromoteOperatorKeyRequest{}))
	p.resigned(t, next)
	fleet := adminv1.NewFleetAuthorityServiceClient(p.as(t, p.key).conn)
	must[*adminv1.RotateFleetAuthorityResponse](t, "rotate")(fleet.RotateFleetAuthority(t.Context(), &adminv1.RotateFleetAuthorityRequest{}))
	pair := must[*ecdsa.PrivateKey](t, "key")(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	request := must[[]byte](t, "request")(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, pair))
	must[*adminv1.IssueCollectorCertificateResponse](t, "collector")(fleet.IssueCollectorCertificate(t.Context(),
		&adminv1.IssueCollectorCertificateRequest{Collector: "one", CertificateRequest: request}))
	if _, err := p.as(t, key+"x").accounts.GetAccount(t.Context(), &apiv1.GetAccountRequest{Name: acmeAccount}); err == nil {
		t.Error("a key that is none is taken")
	}
	if _, err := p.staff(t).PromoteOperatorKey(t.Context(), &adminv1.PromoteOperatorKeyRequest{OperatorJwt: secrets[4]}); err == nil {
		t.Error("a seed is taken for an operator's JWT")
	}
	p.stop()

	cfg := config(dir, log)
	everything(log)(&cfg)
	must[string](t, "detach")(controlplane.DetachRoot(t.Context(), cfg, rootFile))
	root := secretFile(t, rootFile)
	cfg.LedgerURL = controlplane.NewSecret(url)
	must[controlplane.CopiedLedger](t, "copy")(controlplane.CopyLedger(t.Context(), cfg, func(string, int64) {}))
	moved := start(t, dir, everything(log), onPostgres(url))
	moved.key = key
	moved.signUp(t, "globex")
	moved.stop()

	text := log.String()
	for _, said := range []string{"another key of the operator signs", "fleet ca changed", "ledger copied", "broker enrolled", "call refused"} {
		if !strings.Contains(text, said) {
			t.Errorf("the log does not tell %q: the test sees too little", said)
		}
	}
	for i, secret := range append(secrets, root) {
		if strings.Contains(text, secret) {
			t.Errorf("secret %d is in the log", i)
		}
	}
	if secretsIn(text) || strings.Contains(text, "coveyjoin_") || strings.Contains(text, "PRIVATE KEY") {
		t.Error("a secret is in the log")
	}
	// Both keys of the fleet's authorities begin so.
	pkcs8 := base64.StdEncoding.EncodeToString([]byte{0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07})
	if strings.Contains(text, pkcs8[:12]) {
		t.Error("a private key is in the log")
	}
	for _, given := range v.Entered() {
		if len(given) != 32 || bytes.Contains(given, []byte(root)) {
			t.Errorf("Vault was given %d bytes, which are no data key", len(given))
		}
	}
}

// seedIn takes the seed out of a credentials file.
func seedIn(t *testing.T, creds string) string {
	t.Helper()
	pair, err := nkeys.ParseDecoratedNKey([]byte(creds))
	if err != nil {
		t.Fatal(err)
	}
	return string(must[[]byte](t, "seed")(pair.Seed()))
}
