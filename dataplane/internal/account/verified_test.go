package account

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

func signedClaims(t *testing.T, change func(*jwt.AccountClaims)) string {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	operator, err := nkeys.CreateOperator()
	must(err)
	keys, err := nkeys.CreateAccount()
	must(err)
	key, err := keys.PublicKey()
	must(err)
	claims := jwt.NewAccountClaims(key)
	claims.Name = "a"
	change(claims)
	token, err := claims.Encode(operator)
	must(err)
	return token
}

// Claims that come again are read as the library reads them.
func TestVerifiedClaimsAreTheLibrarys(t *testing.T) {
	for name, change := range map[string]func(*jwt.AccountClaims){
		"plain": func(*jwt.AccountClaims) {},
		"full": func(c *jwt.AccountClaims) {
			scope := jwt.NewUserScope()
			scope.Key, scope.Role = c.Subject, "role"
			scope.Template.Pub.Allow.Add("a.>")
			c.SigningKeys.AddScopedSigner(scope)
			c.Revocations = jwt.RevocationList{"*": 12}
			c.Exports.Add(&jwt.Export{Subject: "a.>", Type: jwt.Service, Latency: &jwt.ServiceLatency{Sampling: 5, Results: "b"}})
			c.Imports.Add(&jwt.Import{Account: c.Subject, Subject: "b", Type: jwt.Stream})
			c.Mappings = jwt.Mapping{"x": {{Subject: "y", Weight: 20}}}
			c.Tags.Add("covey-limit:in-msgs=1/1/slow")
			c.Expires = time.Now().Add(time.Hour).Unix()
			c.DefaultPermissions.Sub.Deny.Add("z")
			c.Limits.Conn, c.Description = 12, "é <>"
		},
		"tiers": func(c *jwt.AccountClaims) {
			c.Limits.JetStreamTieredLimits = jwt.JetStreamTieredLimits{"R1": {MemoryStorage: 1}}
			c.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: 5}
		},
	} {
		t.Run(name, func(t *testing.T) {
			token := signedClaims(t, change)
			want, err := jwt.DecodeAccountClaims(token)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, read(token), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("read: %s", d)
			}
			var v Verified
			for range 2 {
				got, err := v.Claims(token)
				if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" || err != nil {
					t.Errorf("%v: %s", err, d)
				}
			}
			if v.Len() != 1 {
				t.Errorf("%d are remembered", v.Len())
			}
		})
	}
}

// What was verified says nothing of anything else: not of claims with another
// signature, nor of others with the same one.
func TestOnlyTheVeryClaimsAreRemembered(t *testing.T) {
	var v Verified
	token := signedClaims(t, func(*jwt.AccountClaims) {})
	if _, err := v.Claims(token); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	foreign := strings.Split(signedClaims(t, func(*jwt.AccountClaims) {}), ".")
	for name, forged := range map[string]string{
		"another signature": parts[0] + "." + parts[1] + "." + foreign[2],
		"other claims":      parts[0] + "." + foreign[1] + "." + parts[2],
		"a part more":       token + ".x",
		"no signature":      parts[0] + "." + parts[1] + ".",
	} {
		if _, err := v.Claims(forged); err == nil {
			t.Errorf("%s: believed", name)
		}
	}
	if v.Len() != 1 {
		t.Errorf("%d are remembered", v.Len())
	}
	if v.has(sha256.Sum256([]byte(parts[0]))) {
		t.Error("a part is remembered")
	}
}

func TestVerifiedIsBounded(t *testing.T) {
	var v Verified
	for i := range verifiedMax + 10 {
		v.note(sha256.Sum256(fmt.Append(nil, i)), false)
	}
	if n := v.Len(); n != verifiedMax {
		t.Errorf("%d are remembered, want %d", n, verifiedMax)
	}
}

// What the library has to migrate is left to it.
func TestReadLeavesOtherFormsAlone(t *testing.T) {
	for _, token := range []string{"", ".", "a.b.c", header + ".e30.x", header + ".!.x"} {
		if read(token) != nil {
			t.Errorf("%q is read", token)
		}
	}
}
