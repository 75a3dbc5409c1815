package dataplane_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// keyOf returns a new key pair and its public key.
func keyOf(t *testing.T, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
	t.Helper()
	kp, err := create()
	must(t, err)
	pub, err := kp.PublicKey()
	must(t, err)
	return kp, pub
}

// signedAccount returns an account's claims signed by the operator, and an
// option to connect as a new user of it.
func signedAccount(t *testing.T, operator nkeys.KeyPair, change func(*jwt.AccountClaims)) (key, token string, user nats.Option) {
	t.Helper()
	account, key := keyOf(t, nkeys.CreateAccount)
	claims := jwt.NewAccountClaims(key)
	if change != nil {
		change(claims)
	}
	token, err := claims.Encode(operator)
	must(t, err)
	kp, pub := keyOf(t, nkeys.CreateUser)
	userToken, err := jwt.NewUserClaims(pub).Encode(account)
	must(t, err)
	user = nats.UserJWT(func() (string, error) { return userToken, nil }, kp.Sign)
	return key, token, user
}

func TestAnOperatorsAccountsFromTheFile(t *testing.T) {
	operator, operatorKey := keyOf(t, nkeys.CreateOperator)
	stranger, _ := keyOf(t, nkeys.CreateOperator)
	system, systemToken, _ := signedAccount(t, operator, nil)
	a, aToken, asA := signedAccount(t, operator, nil)
	b, bToken, asB := signedAccount(t, operator, func(c *jwt.AccountClaims) { c.Limits.Conn = 0 })
	c, cToken, asC := signedAccount(t, stranger, nil)
	_, _, asD := signedAccount(t, operator, nil) // not in the file

	claims := jwt.NewOperatorClaims(operatorKey)
	claims.SystemAccount = system
	token, err := claims.Encode(operator)
	must(t, err)
	decorated := filepath.Join(t.TempDir(), "operator.jwt")
	text, err := jwt.DecorateJWT(token)
	must(t, err)
	must(t, os.WriteFile(decorated, text, 0o600))

	for name, named := range map[string]string{"inline": token, "file": decorated} {
		t.Run(name, func(t *testing.T) {
			p := launch(t, fmt.Sprintf("operator: %q\nresolver: MEMORY\nresolver_preload { %s: %s\n %s: %s\n %s: %s\n %s: %s }\n",
				named, system, systemToken, a, aToken, b, bToken, c, cToken))
			must(t, p.try(asA))
			if err := p.try(asB); err == nil || !strings.Contains(err.Error(), "maximum account active connections exceeded") {
				t.Errorf("a suspended account: %v", err)
			}
			for who, option := range map[string]nats.Option{"signed by a stranger": asC, "not in the file": asD, "nobody": nats.Name("x")} {
				if err := p.try(option); !errors.Is(err, nats.ErrAuthorization) {
					t.Errorf("%s: %v", who, err)
				}
			}
		})
	}
}
