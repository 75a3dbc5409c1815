package accounts_test

import (
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/accounts"
)

func newAccountSigner(t *testing.T) accounts.Signer {
	t.Helper()
	seed, err := accounts.NewAccountKey()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := seed.Signer()
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// An activation reads, with the library that stock servers read it with, as
// what it was signed for, and its revocation reads as refusing it.
func TestActivationsReadAsSigned(t *testing.T) {
	exporter, importer := newAccountSigner(t), newAccountSigner(t)
	key := newAccountSigner(t)
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	text, issued, err := accounts.SignActivation(accounts.Activation{
		Importer: importer.PublicKey(), Exporter: exporter.PublicKey(), Subject: "price.*", Type: accounts.Service, Expires: expires,
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.DecodeActivationClaims(text)
	if err != nil {
		t.Fatal(err)
	}
	if claims.Subject != importer.PublicKey() || claims.IssuerAccount != exporter.PublicKey() || claims.Issuer != key.PublicKey() ||
		claims.ImportSubject != "price.*" || claims.ImportType != jwt.Service || claims.Expires != expires.Unix() || claims.IssuedAt != issued {
		t.Errorf("activation reads %+v", claims)
	}
	e := accounts.Export{Subject: "price.*", Type: accounts.Service}
	before, err := e.Revoke(importer.PublicKey(), issued-1)
	if err != nil {
		t.Fatal(err)
	}
	after, err := before.Revoke(importer.PublicKey(), issued)
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Revoked) != 1 || before.Revoked[importer.PublicKey()] != issued-1 || after.Revoked[importer.PublicKey()] != issued || e.Revoked != nil {
		t.Errorf("revocations are %v, then %v", before.Revoked, after.Revoked)
	}
}

func TestWhatContainsWhat(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{"a", "a"}: true, {"a", "b"}: false, {"a", "a.b"}: false, {"a.b", "a"}: false,
		{"*", "a"}: true, {"*", "*"}: true, {"*", ">"}: false, {"a.*", "a.>"}: false, {"a.*", "a.b.c"}: false,
		{">", ">"}: true, {">", "a.*.>"}: true, {"a.>", "a"}: false, {"a.>", "a.*"}: true, {"a.>", "a.b.>"}: true, {"a.>", "*.b"}: false,
		{"a.*.c", "a.b.c"}: true, {"a.b.c", "a.*.c"}: false,
	} {
		if got := accounts.Contains(pair[0], pair[1]); got != want {
			t.Errorf("%q contains %q: %v", pair[0], pair[1], got)
		}
	}
}

func TestExportsAndImportsThatMakeNoSense(t *testing.T) {
	for name, e := range map[string]accounts.Export{
		"no subject":          {Type: accounts.Stream},
		"no type":             {Subject: "a"},
		"empty token":         {Subject: "a..b", Type: accounts.Stream},
		"a stream answers":    {Subject: "a", Type: accounts.Stream, Answers: accounts.AnswersMany},
		"a stream's latency":  {Subject: "a", Type: accounts.Stream, LatencySubject: "l"},
		"sampled for nobody":  {Subject: "a", Type: accounts.Service, LatencyPercent: 5},
		"wild measurements":   {Subject: "a", Type: accounts.Service, LatencySubject: "l.*"},
		"more than a hundred": {Subject: "a", Type: accounts.Service, LatencySubject: "l", LatencyPercent: 101},
		"negative threshold":  {Subject: "a", Type: accounts.Service, ResponseThreshold: -1},
	} {
		if e.Validate("export") == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for name, i := range map[string]accounts.Import{
		"no subject":            {Type: accounts.Stream},
		"a stream's requestors": {Subject: "a", Type: accounts.Stream, ShareRequestor: true},
		"wildcards lost":        {Subject: "a.*.*", Local: "b.$1", Type: accounts.Service},
		"no such wildcard":      {Subject: "a.*", Local: "b.$2", Type: accounts.Service},
		"open end lost":         {Subject: "a.>", Local: "b", Type: accounts.Stream},
	} {
		if i.Validate("import") == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if err := (accounts.Import{Subject: "a.*.>", Local: "b.$1.>", Type: accounts.Stream}).Validate("import"); err != nil {
		t.Error(err)
	}
}
