package cli

import (
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) adminQuota() *cobra.Command {
	cmd := &cobra.Command{Use: "quota", Aliases: []string{"quotas"}, Short: "Have something else take the place of a limit of a plan, for an organization or one account"}
	cmd.AddCommand(a.quotaSet(), a.quotaDelete())
	return cmd
}

// whose is what an override is of: an organization, or an account of it.
const whose = "ORGANIZATION[/ACCOUNT]"

// overrideName is the name of an override, without the organization's own form
// checked: the server says what is wrong with it.
func overrideName(of, limit string) string {
	org, account, one := strings.Cut(of, "/")
	name := segOrganizations + "/" + org
	if one {
		name += "/accounts/" + account
	}
	return name + "/quotaOverrides/" + apiLimit(limit)
}

// overrideValue reads the value of an override.
func overrideValue(limit, text string) (*apiv1.Quota, error) {
	if limit = apiLimit(limit); limit != "accounts" && limit != "users" {
		return parseLimitValue("the limit", limit, text)
	}
	n, err := parseLimit(limit, text)
	if err != nil || n == nil {
		return nil, err
	}
	return &apiv1.Quota{Amount: *n}, nil
}

func (a *App) quotaSet() *cobra.Command {
	var w waiting
	var l lowering
	var during time.Duration
	cmd := &cobra.Command{
		Use: "set " + whose + " LIMIT AMOUNT", Short: "Override a limit", Args: term.Exactly(whose, "LIMIT", "AMOUNT"),
		Long: "Override a limit. LIMIT is one of " + limitFieldNames() + ", or, of an organization, accounts or users; AMOUNT is a number, amount/burst/policy for a rate, or " + unlimited +
			".\nOf an organization it takes the place of the total where the limit adds up, and of what each account may have where it does not.",
		Example: "  covey admin quota set acme connections 500 --reason 'the fair' --for 72h\n  covey admin quota set acme/orders msgs-in 10/20/refuse --reason 'abuse, ticket 4711' --accept-lowering",
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := overrideValue(args[1], args[2])
			if err != nil {
				return err
			}
			if l.reason == "" {
				return term.Usagef("say why: people read it in the audit log and with `covey org plan`", "--reason is missing")
			}
			req := &adminv1.SetQuotaOverrideRequest{
				Name: overrideName(args[0], args[1]), Value: value, Reason: l.reason, AcceptLowering: l.accept, ValidateOnly: l.dry, RequestId: uuid.NewString(),
			}
			if during != 0 {
				req.ExpireTime = timestamppb.New(time.Now().Add(during))
			}
			return a.withSession(func(s *session) error {
				r, err := adminv1.NewPlanServiceClient(s).SetQuotaOverride(cmd.Context(), req)
				if err != nil {
					return err
				}
				op, waited := w.settle(cmd.Context(), a, s, r.GetOperation())
				r.Operation = op
				o := r.GetQuotaOverride()
				pairs := append([]term.Pair{
					{Name: "override", Value: o.GetName()},
					{Name: "value", Value: quotaWord(o.GetValue())},
					{Name: "reason", Value: o.GetReason()},
					{Name: "ends", Value: atOrNever(o.GetExpireTime())},
				}, operationPairs(op)...)
				if err := a.showImpacts(l.dry, r.GetImpacts(), r, pairs...); err != nil {
					return err
				}
				return waited
			})
		},
	}
	l.flags(cmd)
	w.flags(cmd, false)
	cmd.Flags().DurationVar(&during, "for", 0, "how long it is good, for example 72h; 0 is without end")
	return cmd
}

func (a *App) quotaDelete() *cobra.Command {
	var w waiting
	var l lowering
	cmd := &cobra.Command{
		Use: "delete " + whose + " LIMIT", Short: "Take an override away", Args: term.Exactly(whose, "LIMIT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSession(func(s *session) error {
				name := overrideName(args[0], args[1])
				r, err := adminv1.NewPlanServiceClient(s).DeleteQuotaOverride(cmd.Context(), &adminv1.DeleteQuotaOverrideRequest{
					Name: name, Reason: l.reason, AcceptLowering: l.accept, ValidateOnly: l.dry, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				op, waited := w.settle(cmd.Context(), a, s, r.GetOperation())
				r.Operation = op
				if err := a.showImpacts(l.dry, r.GetImpacts(), r, deletedPairs(name, op)...); err != nil {
					return err
				}
				return waited
			})
		},
	}
	l.flags(cmd)
	w.flags(cmd, false)
	return cmd
}
