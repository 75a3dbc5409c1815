package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const planArg = "PLAN"

func (a *App) adminPlan() *cobra.Command {
	cmd := &cobra.Command{Use: "plan", Aliases: []string{"plans"}, Short: "Say what organizations are granted"}
	cmd.AddCommand(a.planList(), a.planGet(), a.planCreate(), a.planUpdate(), a.planDelete(), a.planOrganizations(), a.planAssign())
	return cmd
}

func planName(id string) string {
	if strings.HasPrefix(id, "plans/") {
		return id
	}
	return "plans/" + id
}

func (a *App) planList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List plans", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSession(func(s *session) error {
				client := apiv1.NewPlanServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListPlansResponse, error) {
					return client.ListPlans(ctx, &apiv1.ListPlansRequest{PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListPlansResponse).GetPlans)
				if err != nil {
					return err
				}
				header := []string{planArg, "DISPLAY NAME", "TOTALS", "EACH ACCOUNT", "ACCOUNTS", "USERS"}
				return showList(a, "plans", all, header, func(p *apiv1.Plan) []string {
					return []string{
						lastSegment(p.GetName()), p.GetDisplayName(), limitsWord(p.GetTotals()), limitsWord(p.GetAccountLimits()),
						countWord(p.MaxAccounts), countWord(p.MaxUsers), //nolint:protogetter // absent is not zero
					}
				})
			})
		},
	}
}

func planPairs(p *apiv1.Plan) []term.Pair {
	return []term.Pair{
		{Name: "plan", Value: lastSegment(p.GetName())},
		{Name: "display name", Value: p.GetDisplayName()},
		{Name: "description", Value: p.GetDescription()},
		{Name: "totals", Value: limitsWord(p.GetTotals())},
		{Name: "shared", Value: orElse(strings.Join(p.GetShared(), " "), "-")},
		{Name: "each account", Value: limitsWord(p.GetAccountLimits())},
		{Name: "accounts", Value: countWord(p.MaxAccounts)},
		{Name: "users", Value: countWord(p.MaxUsers)}, //nolint:protogetter // absent is not zero
		{Name: "listed", Value: strconv.FormatBool(!p.GetUnlisted())},
		{Name: "generation", Value: strconv.FormatInt(p.GetGeneration(), 10)},
		{Name: "reached everybody", Value: strconv.FormatBool(p.GetSpreadGeneration() == p.GetGeneration())},
	}
}

func (a *App) planGet() *cobra.Command {
	return &cobra.Command{
		Use: "get PLAN", Short: "Show one plan", Args: term.Exactly(planArg),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSession(func(s *session) error {
				r, err := apiv1.NewPlanServiceClient(s).GetPlan(cmd.Context(), &apiv1.GetPlanRequest{Name: planName(args[0])})
				if err != nil {
					return err
				}
				return a.show(r.GetPlan(), planPairs(r.GetPlan())...)
			})
		},
	}
}

func (a *App) planCreate() *cobra.Command {
	var f planFields
	var dry bool
	cmd := &cobra.Command{
		Use: "create PLAN", Short: "Make a plan", Args: term.Exactly(planArg),
		Example: "  covey admin plan create starter --display-name Starter --total connections=100 --account-limit connections=10 \\\n" +
			"    --account-limit payload-bytes=1048576 --account-limit msgs-in=1000/2000/slow --max-accounts 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, _, err := f.message(cmd.Flags())
			if err != nil {
				return err
			}
			return a.withSession(func(s *session) error {
				r, err := adminv1.NewPlanServiceClient(s).CreatePlan(cmd.Context(), &adminv1.CreatePlanRequest{PlanId: args[0], Plan: p, RequestId: uuid.NewString(), ValidateOnly: dry})
				if err != nil {
					return err
				}
				return a.show(r.GetPlan(), planPairs(r.GetPlan())...)
			})
		},
	}
	f.flags(cmd.Flags())
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check everything and change nothing")
	return cmd
}

// lowering is the flags of what may take something away.
type lowering struct {
	reason      string
	accept, dry bool
}

func (l *lowering) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.reason, "reason", "", "why, for the audit log")
	cmd.Flags().BoolVar(&l.accept, "accept-lowering", false, "accounts may get less than they have")
	cmd.Flags().BoolVar(&l.dry, "dry-run", false, "change nothing, and list the limits that would be lower or do not allow it")
}

func (a *App) planUpdate() *cobra.Command {
	var f planFields
	var l lowering
	cmd := &cobra.Command{
		Use: "update PLAN", Short: "Change a plan, and what all its organizations are granted", Args: term.Exactly(planArg),
		Example: "  covey admin plan update starter --total connections=200 --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, mask, err := f.message(cmd.Flags())
			if err != nil {
				return err
			}
			if len(mask.GetPaths()) == 0 {
				return term.Usagef("see `covey admin plan update --help`", "nothing to change")
			}
			p.Name = planName(args[0])
			return a.withSession(func(s *session) error {
				r, err := adminv1.NewPlanServiceClient(s).UpdatePlan(cmd.Context(), &adminv1.UpdatePlanRequest{
					Plan: p, UpdateMask: mask, AcceptLowering: l.accept, ValidateOnly: l.dry, Reason: l.reason, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				return a.showImpacts(l.dry, r.GetImpacts(), r, planPairs(r.GetPlan())...)
			})
		},
	}
	f.flags(cmd.Flags())
	l.flags(cmd)
	return cmd
}

// showImpacts shows what a change does, or would do, to limits.
func (a *App) showImpacts(dry bool, impacts *adminv1.LimitImpacts, answer proto.Message, pairs ...term.Pair) error {
	if !dry || a.streams.JSON {
		return a.show(answer, pairs...)
	}
	err := showList(a, "impacts", impacts.GetImpacts(), []string{"RESOURCE", "LIMIT", "NOW", "THEN", ""}, func(i *adminv1.LimitImpact) []string {
		word := "lower"
		if i.GetRefused() {
			word = "refused: more is given out"
		}
		return []string{i.GetResource(), i.GetLimit(), quotaWord(i.GetBefore()), quotaWord(i.GetAfter()), word}
	})
	a.streams.Sayf("%d limits would be lower, and %d do not allow the change", impacts.GetLowered(), impacts.GetRefused())
	return err
}

func (a *App) planDelete() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "delete PLAN", Short: "End a plan that no organization is on", Args: term.Exactly(planArg),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSession(func(s *session) error {
				r, err := adminv1.NewPlanServiceClient(s).DeletePlan(cmd.Context(), &adminv1.DeletePlanRequest{Name: planName(args[0]), Reason: reason, RequestId: uuid.NewString()})
				if err != nil {
					return err
				}
				return a.show(r, term.Pair{Name: "deleted", Value: planName(args[0])})
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return cmd
}

func (a *App) planOrganizations() *cobra.Command {
	return &cobra.Command{
		Use: "organizations PLAN", Short: "List the organizations that are on a plan", Args: term.Exactly(planArg),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSession(func(s *session) error {
				client := adminv1.NewPlanServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*adminv1.ListPlanOrganizationsResponse, error) {
					return client.ListPlanOrganizations(ctx, &adminv1.ListPlanOrganizationsRequest{Parent: planName(args[0]), PageSize: pageSize, PageToken: token})
				}, (*adminv1.ListPlanOrganizationsResponse).GetOrganizations)
				if err != nil {
					return err
				}
				return showList(a, "organizations", all, []string{"ORGANIZATION", "GENERATION", "BEHIND"}, func(o *adminv1.PlanOrganization) []string {
					return []string{lastSegment(o.GetOrganization()), strconv.FormatInt(o.GetGeneration(), 10), orElse(o.GetBehind(), "-")}
				})
			})
		},
	}
}

func (a *App) planAssign() *cobra.Command {
	var w waiting
	var l lowering
	cmd := &cobra.Command{
		Use: "assign ORGANIZATION PLAN", Short: "Put an organization on a plan", Args: term.Exactly("ORGANIZATION", planArg),
		Example: "  covey admin plan assign acme starter --dry-run",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withScope(scope{org: args[0]}, func(s *session, in scope) error {
				name, err := in.orgName()
				if err != nil {
					return err
				}
				r, err := adminv1.NewPlanServiceClient(s).AssignPlan(cmd.Context(), &adminv1.AssignPlanRequest{
					Name: name, Plan: planName(args[1]), Reason: l.reason, AcceptLowering: l.accept, ValidateOnly: l.dry, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				op, waited := w.settle(cmd.Context(), a, s, r.GetOperation())
				r.Operation = op
				pairs := append([]term.Pair{{Name: "organization", Value: args[0]}, {Name: "plan", Value: lastSegment(r.GetOrganizationPlan().GetPlan())}}, operationPairs(op)...)
				if err := a.showImpacts(l.dry, r.GetImpacts(), r, pairs...); err != nil {
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
