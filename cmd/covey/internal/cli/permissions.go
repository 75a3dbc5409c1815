package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// ruleFlags is the flags for permissions.
type ruleFlags struct {
	allowPub, denyPub, allowSub, denySub []string
	allowAll                             bool
}

func ruleFlagNames() []string { return []string{"allow-pub", "deny-pub", "allow-sub", "deny-sub"} }

func (f *ruleFlags) flags(cmd *cobra.Command) {
	set := cmd.Flags()
	set.StringArrayVar(&f.allowPub, "allow-pub", nil, "subject it may publish to; repeat for more")
	set.StringArrayVar(&f.denyPub, "deny-pub", nil, "subject it may not publish to")
	set.StringArrayVar(&f.allowSub, "allow-sub", nil, "subject it may subscribe to")
	set.StringArrayVar(&f.denySub, "deny-sub", nil, "subject it may not subscribe to")
}

// allowAllFlag adds the flag that takes all rules away.
func (f *ruleFlags) allowAllFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.allowAll, "allow-all", false, "take all rules away: everything in the account is allowed")
	for _, rule := range ruleFlagNames() {
		cmd.MarkFlagsMutuallyExclusive("allow-all", rule)
	}
}

// given reports whether the flags say anything about permissions.
func (f *ruleFlags) given(cmd *cobra.Command) bool {
	for _, rule := range ruleFlagNames() {
		if cmd.Flags().Changed(rule) {
			return true
		}
	}
	return f.allowAll
}

func (f *ruleFlags) message() *apiv1.Permissions {
	if len(f.allowPub)+len(f.denyPub)+len(f.allowSub)+len(f.denySub) == 0 {
		return nil
	}
	return &apiv1.Permissions{
		Publish:   &apiv1.SubjectRules{Allow: f.allowPub, Deny: f.denyPub},
		Subscribe: &apiv1.SubjectRules{Allow: f.allowSub, Deny: f.denySub},
	}
}

func permissionPairs(p *apiv1.Permissions) []term.Pair {
	list := func(s []string) string { return strings.Join(s, ", ") }
	return []term.Pair{
		{Name: "may publish", Value: list(p.GetPublish().GetAllow())},
		{Name: "may not publish", Value: list(p.GetPublish().GetDeny())},
		{Name: "may subscribe", Value: list(p.GetSubscribe().GetAllow())},
		{Name: "may not subscribe", Value: list(p.GetSubscribe().GetDeny())},
	}
}
