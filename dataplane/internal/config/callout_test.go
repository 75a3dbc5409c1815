package config_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/auth"
)

// Public keys of an account and of a curve.
const (
	calloutIssuer = "ABJHLOVMPA4CI6R5KLNGOB4GSLNIY7IOUPAJC4YFNDLQVIOBYQGUWVLA"
	calloutXKey   = "XAB3NANV3M6N7AHSQP2U5FRWKKUT7EG2ZXXABV4XVXYQRJGM4S2CZGHT"
)

func TestAuthCallout(t *testing.T) {
	const text = `
accounts { AUTH { users: [{user: a, password: a}] }, APP {} }
authorization { auth_callout { %s } }`
	o, err := load(t, fmt.Sprintf(text, "issuer: "+calloutIssuer+", account: AUTH, auth_users: [a], allowed_accounts: [APP], xkey: "+calloutXKey))
	if err != nil {
		t.Fatal(err)
	}
	want := &auth.Callout{Issuer: calloutIssuer, Account: "AUTH", Users: []string{"a"}, Allowed: []string{"APP"}, XKey: calloutXKey}
	if !reflect.DeepEqual(o.Access.Callout, want) {
		t.Errorf("got %+v, want %+v", o.Access.Callout, want)
	}
	for bad, want := range map[string]string{
		"auth_users: [a]":                                                     "require an issuer",
		"issuer: X, auth_users: [a]":                                          "must be a public account nkey",
		"issuer: " + calloutIssuer:                                            "require authorized users",
		"issuer: " + calloutIssuer + ", auth_users: [b]":                      `"b" is not a user`,
		"issuer: " + calloutIssuer + ", users: [a], key: x":                   "must be a public curve key",
		"issuer: " + calloutIssuer + ", users: [a], acc: NONE":                `"NONE" is not an account`,
		"issuer: " + calloutIssuer + ", users: [a], allowed_accounts: [NONE]": `"NONE" is not an account`,
		"issuer: " + calloutIssuer + ", users: [a], cats: 1":                  "unknown field",
	} {
		if _, err := load(t, fmt.Sprintf(text, bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
