package cli

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// The settings of an authorization service are given together, or taken off.
func TestCalloutFlags(t *testing.T) {
	for _, c := range []struct{ args, mask, users, err string }{
		{"", "", "", ""},
		{"--callout-user U1,U2 --callout-xkey X", "auth_callout", "U1 U2", ""},
		{"--no-callout", "auth_callout", "", ""},
		{"--callout-xkey X", "", "", "--callout-user is missing"},
		{"--no-callout --callout-user U1", "", "", "exclude each other"},
	} {
		var f accountFields
		set := pflag.NewFlagSet("", pflag.ContinueOnError)
		f.flags(set)
		if err := set.Parse(strings.Fields(c.args)); err != nil {
			t.Fatal(err)
		}
		account, mask, err := f.message(set)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.args, err)
			}
			continue
		}
		if err != nil || strings.Join(mask.GetPaths(), " ") != c.mask || strings.Join(account.GetAuthCallout().GetUserPublicKeys(), " ") != c.users {
			t.Errorf("%s: %v, %v, %v", c.args, account, mask, err)
		}
	}
}
