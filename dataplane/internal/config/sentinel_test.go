package config_test

import (
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/operatortest"
)

func TestSentinelMustBeUsable(t *testing.T) {
	op := operatortest.New(t)
	acct := op.Account("a")
	preload := "operator: " + op.JWT + "\nresolver: MEMORY\nresolver_preload { " + acct.Key + ": " + acct.Token() + " }\n"
	bearer := acct.User("b", func(c *jwt.UserClaims) { c.BearerToken = true }).Token
	signing := acct.User("s", nil).Token
	for _, c := range []struct{ text, want string }{
		{preload + "default_sentinel: " + bearer, ""},
		{preload + "default_sentinel: " + signing, "default sentinel must be a bearer token"},
		{preload + "default_sentinel: junk", "default sentinel JWT not valid"},
		{"default_sentinel: " + bearer, "needs an operator"},
	} {
		_, err := load(t, c.text)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%.60s...: %v, want %q", c.text[max(0, len(c.text)-60):], err, c.want)
		}
	}
}
