package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) orgPlan() *cobra.Command {
	return &cobra.Command{
		Use: "plan [ORGANIZATION]", Short: "Show what an organization is granted, and how much of it is given out", Args: term.Between(0, "ORGANIZATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var flags scope
			if len(args) == 1 {
				flags.org = args[0]
			}
			return a.withScope(flags, func(s *session, in scope) error {
				name, err := in.orgName()
				if err != nil {
					return err
				}
				r, err := apiv1.NewPlanServiceClient(s).GetOrganizationPlan(cmd.Context(), &apiv1.GetOrganizationPlanRequest{Name: name})
				if err != nil {
					return err
				}
				return a.showOrgPlan(r.GetOrganizationPlan())
			})
		},
	}
}

func (a *App) showOrgPlan(p *apiv1.OrganizationPlan) error {
	if a.streams.JSON {
		return a.show(p)
	}
	pairs := []term.Pair{{Name: "organization", Value: lastSegment(p.GetName())}, {Name: "plan", Value: lastSegment(p.GetPlan())}, {Name: "display name", Value: orElse(p.GetPlanDisplayName(), "-")}}
	if p.GetBehind() != "" {
		pairs = append(pairs, term.Pair{Name: "not the newest terms", Value: p.GetBehind()})
	}
	for _, l := range p.GetLimits() {
		pairs = append(pairs, term.Pair{Name: l.GetLimit(), Value: grantWord(l)})
	}
	for _, o := range p.GetOverrides() {
		word := quotaWord(o.GetValue()) + ": " + o.GetReason()
		switch {
		case o.GetOverdue():
			word += " (its time is over; what it gave is in use)"
		case o.GetExpireTime() != nil:
			word += " (until " + atOrNever(o.GetExpireTime()) + ")"
		}
		pairs = append(pairs, term.Pair{Name: "override", Value: o.GetName() + " " + word})
	}
	return a.streams.Describe(pairs...)
}

// grantWord says how much of a limit there is, and how much is given out.
func grantWord(l *apiv1.GrantedLimit) string {
	var word string
	switch {
	case l.GetShared():
		word = "each account up to " + strconv.FormatInt(l.GetTotal(), 10)
	case l.Total != nil:
		word = strconv.FormatInt(l.GetAllocated(), 10) + " of " + strconv.FormatInt(l.GetTotal(), 10)
	case l.Allocated != nil:
		word = strconv.FormatInt(l.GetAllocated(), 10) + ", " + unlimited
	}
	if l.GetAccount() != nil {
		if word != "" {
			word += "; "
		}
		word += "an account has " + quotaWord(l.GetAccount()) + " unless it says otherwise"
	}
	if l.GetLayer() == "organization-override" {
		word += " (overridden)"
	}
	return word
}
