package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) alertPolicyCommand(in *scope) *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Aliases: []string{"policies"}, Short: "Say what is looked at, and whom to tell"}
	cmd.AddCommand(a.alertPolicyCreate(in), a.alertPolicyList(in), a.alertPolicyGet(in), a.alertPolicyUpdate(in), a.alertPolicyDelete(in), a.alertPolicyTest(in))
	return cmd
}

func (a *App) withAlertPolicy(flags scope, id string, f func(*session, scope, string) error) error {
	return a.withScope(flags, func(s *session, in scope) error {
		name, err := in.ofOrganization(id, "alertPolicies", "alert policy")
		if err != nil {
			return err
		}
		return f(s, in, name)
	})
}

// alertPolicyFields are the flags of what can change of a policy.
type alertPolicyFields struct {
	displayName, severity        string
	percents                     []int32
	fixed                        int64
	hold                         time.Duration
	urlFile, secretFile          string
	noWebhook, disabled, enabled bool
}

func severities() []string { return []string{"info", "warning", "error", "critical"} }

func (p *alertPolicyFields) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.displayName, "display-name", "", "a name for people")
	f.Int32SliceVar(&p.percents, "percent", nil, "percents of the limit in force, for example 50,80,100")
	f.Int64Var(&p.fixed, "value", 0, "a value, in place of percents")
	f.StringVar(&p.severity, "severity", "", "info, warning, error or critical (default warning)")
	f.DurationVar(&p.hold, "hold", 0, "for how long it must be reached; of connections, accounts and users")
	f.StringVar(&p.urlFile, "webhook-file", "", "file with the https URL that is told; - reads standard input")
	f.StringVar(&p.secretFile, "webhook-secret-file", "", "file with the secret that signs what is posted")
	_ = cmd.RegisterFlagCompletionFunc("severity", cobra.FixedCompletions(severities(), cobra.ShellCompDirectiveNoFileComp))
}

// message makes a policy of the flags that were given, and the mask that names
// them.
func (p *alertPolicyFields) message(a *App, cmd *cobra.Command) (*apiv1.AlertPolicy, *fieldmaskpb.FieldMask, error) {
	out, mask := &apiv1.AlertPolicy{DisplayName: p.displayName, LimitPercents: p.percents, FixedValue: p.fixed}, &fieldmaskpb.FieldMask{}
	for flag, path := range map[string]string{
		"display-name": "display_name", "percent": "limit_percents", "value": "fixed_value", "severity": "severity", "hold": "hold_seconds",
		"webhook-file": "webhook", "no-webhook": "webhook", "disable": "disabled", "enable": "disabled",
	} {
		if cmd.Flags().Changed(flag) && !slices.Contains(mask.GetPaths(), path) {
			mask.Paths = append(mask.Paths, path)
		}
	}
	// One of them takes the other's place.
	switch percent, value := slices.Contains(mask.GetPaths(), "limit_percents"), slices.Contains(mask.GetPaths(), "fixed_value"); {
	case percent && !value:
		mask.Paths = append(mask.Paths, "fixed_value")
	case value && !percent:
		mask.Paths = append(mask.Paths, "limit_percents")
	}
	slices.Sort(mask.Paths)
	if p.hold < 0 || p.hold%time.Second != 0 {
		return nil, nil, term.Usagef("for example 5m", "--hold %s is not a number of whole seconds", p.hold)
	}
	out.HoldSeconds, out.Disabled = int64(p.hold/time.Second), p.disabled
	if p.severity != "" {
		n, ok := apiv1.AlertSeverity_value["ALERT_SEVERITY_"+strings.ToUpper(p.severity)]
		if !ok || n == 0 {
			return nil, nil, term.Usagef("use one of "+strings.Join(severities(), ", "), "there is no severity %q", p.severity)
		}
		out.Severity = apiv1.AlertSeverity(n)
	}
	hook, err := p.webhook(a)
	out.Webhook = hook
	return out, mask, err
}

func (p *alertPolicyFields) webhook(a *App) (*apiv1.AlertWebhook, error) {
	switch {
	case p.noWebhook && p.urlFile != "":
		return nil, term.Usagef("give one of them", "there is both --webhook-file and --no-webhook")
	case p.secretFile != "" && p.urlFile == "":
		return nil, term.Usagef("give --webhook-file, too: both are replaced together", "there is a secret, and no URL")
	case p.urlFile == "":
		return nil, nil //nolint:nilnil // none
	}
	const urlMax = 4096
	url, err := a.readLine(p.urlFile, "the webhook's URL", urlMax)
	if err != nil {
		return nil, err
	}
	out := &apiv1.AlertWebhook{Url: url.Reveal()}
	if p.secretFile != "" {
		secret, err := a.readSecret(p.secretFile, "the webhook's secret")
		if err != nil {
			return nil, err
		}
		out.Secret = secret.Reveal()
	}
	return out, nil
}

func (a *App) alertPolicyCreate(in *scope) *cobra.Command {
	var fields alertPolicyFields
	var metric, account string
	var names []string
	for _, m := range accounts.AlertMetrics() {
		names = append(names, m.Name)
	}
	cmd := &cobra.Command{
		Use: "create NAME --metric METRIC", Short: "Look at something from now on", Args: term.Exactly("NAME"),
		Long: `Look at something from now on: at one account, or without --account at each of the
organization's for itself.

Metrics: ` + strings.Join(names, ", ") + `.`,
		Example: "  covey alert policy create data --metric data_bytes --percent 50,80,100 --webhook-file hook.txt\n" +
			"  covey alert policy create crowd --metric connections --account orders --value 900 --hold 5m",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, _, err := fields.message(a, cmd)
			if err != nil {
				return err
			}
			p.Metric = metric
			return a.withAlertPolicy(*in, args[0], func(s *session, in scope, name string) error {
				if account != "" {
					var err error
					if p.Account, err = in.accountName(account); err != nil {
						return err
					}
				}
				parent, id := splitName(name)
				resp, err := apiv1.NewAlertServiceClient(s).CreateAlertPolicy(cmd.Context(), &apiv1.CreateAlertPolicyRequest{
					Parent: parent, AlertPolicyId: id, AlertPolicy: p, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				return a.show(resp.GetAlertPolicy(), alertPolicyPairs(resp.GetAlertPolicy())...)
			})
		},
	}
	fields.flags(cmd)
	cmd.Flags().StringVar(&metric, "metric", "", "what is looked at")
	cmd.Flags().StringVar(&account, "account", "", "the account that is looked at (default: each of the organization's)")
	_ = cmd.MarkFlagRequired("metric")
	_ = cmd.RegisterFlagCompletionFunc("metric", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *App) alertPolicyList(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the alert policies of an organization", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.orgName()
				if err != nil {
					return err
				}
				client := apiv1.NewAlertServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListAlertPoliciesResponse, error) {
					return client.ListAlertPolicies(ctx, &apiv1.ListAlertPoliciesRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListAlertPoliciesResponse).GetAlertPolicies)
				if err != nil {
					return err
				}
				return showList(a, "alert_policies", all, []string{"POLICY", "METRIC", "ACCOUNT", "AT", "SEVERITY", "TELLS", "STATE"}, func(p *apiv1.AlertPolicy) []string {
					return []string{
						lastSegment(p.GetName()), p.GetMetric(), accountOrEach(p), policyThresholds(p), severityWord(p.GetSeverity()), p.GetWebhook().GetHost(), policyState(p),
					}
				})
			})
		},
	}
}

func accountOrEach(p *apiv1.AlertPolicy) string {
	if p.GetAccount() == "" && p.GetMetric() != accounts.MetricAccounts && p.GetMetric() != accounts.MetricUsers {
		return "(each)"
	}
	return lastSegment(p.GetAccount())
}

func policyState(p *apiv1.AlertPolicy) string {
	if p.GetDisabled() {
		return "disabled"
	}
	return "active"
}

func policyThresholds(p *apiv1.AlertPolicy) string {
	if p.GetFixedValue() != 0 {
		return strconv.FormatInt(p.GetFixedValue(), 10)
	}
	var all []string
	for _, n := range p.GetLimitPercents() {
		all = append(all, fmt.Sprintf("%d%%", n))
	}
	return strings.Join(all, " ")
}

func (a *App) alertPolicyGet(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Short: "Show one alert policy", Args: term.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAlertPolicy(*in, args[0], func(s *session, _ scope, name string) error {
				resp, err := apiv1.NewAlertServiceClient(s).GetAlertPolicy(cmd.Context(), &apiv1.GetAlertPolicyRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetAlertPolicy(), alertPolicyPairs(resp.GetAlertPolicy())...)
			})
		},
	}
}

func (a *App) alertPolicyUpdate(in *scope) *cobra.Command {
	var fields alertPolicyFields
	var etag string
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change what the flags name; what is looked at stays", Args: term.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if fields.disabled && fields.enabled {
				return term.Usagef("give one of them", "there is both --disable and --enable")
			}
			p, mask, err := fields.message(a, cmd)
			if err != nil {
				return err
			}
			if len(mask.GetPaths()) == 0 {
				return term.Usagef("see `covey alert policy update --help`", "nothing to change")
			}
			return a.withAlertPolicy(*in, args[0], func(s *session, _ scope, name string) error {
				p.Name, p.Etag = name, etag
				resp, err := apiv1.NewAlertServiceClient(s).UpdateAlertPolicy(cmd.Context(), &apiv1.UpdateAlertPolicyRequest{
					AlertPolicy: p, UpdateMask: mask, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				return a.show(resp.GetAlertPolicy(), alertPolicyPairs(resp.GetAlertPolicy())...)
			})
		},
	}
	fields.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&fields.noWebhook, "no-webhook", false, "tell nobody")
	f.BoolVar(&fields.disabled, "disable", false, "look no more for now, and close its alerts")
	f.BoolVar(&fields.enabled, "enable", false, "look again")
	f.StringVar(&etag, "etag", "", "refuse if the policy is no longer at this etag")
	return cmd
}

func (a *App) alertPolicyDelete(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Look no more, and close its alerts", Args: term.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAlertPolicy(*in, args[0], func(s *session, _ scope, name string) error {
				resp, err := apiv1.NewAlertServiceClient(s).DeleteAlertPolicy(cmd.Context(), &apiv1.DeleteAlertPolicyRequest{Name: name, RequestId: uuid.NewString()})
				if err != nil {
					return err
				}
				return a.show(resp, deletedPairs(name, nil)...)
			})
		},
	}
}

func (a *App) alertPolicyTest(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Post a notification that is none, and show what the receiver says", Args: term.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAlertPolicy(*in, args[0], func(s *session, _ scope, name string) error {
				resp, err := apiv1.NewAlertServiceClient(s).TestAlertPolicy(cmd.Context(), &apiv1.TestAlertPolicyRequest{Name: name})
				if err != nil {
					return err
				}
				pairs := []term.Pair{{Name: "notification", Value: resp.GetNotificationId()}, {Name: "answer", Value: resp.GetAnswer()}}
				if resp.GetHttpStatus() != 0 {
					pairs = append(pairs, term.Pair{Name: "status", Value: strconv.Itoa(int(resp.GetHttpStatus()))})
				}
				if err := a.show(resp, pairs...); err != nil {
					return err
				}
				if !resp.GetDelivered() {
					return term.Failf("look at the receiver, then try again", "the receiver did not take it: %s", resp.GetError())
				}
				return nil
			})
		},
	}
}

func alertPolicyPairs(p *apiv1.AlertPolicy) []term.Pair {
	pairs := []term.Pair{
		{Name: "policy", Value: p.GetName()},
		{Name: "display name", Value: p.GetDisplayName()},
		{Name: "metric", Value: p.GetMetric()},
		{Name: "account", Value: accountOrEach(p)},
		{Name: "at", Value: policyThresholds(p)},
		{Name: "severity", Value: severityWord(p.GetSeverity())},
	}
	if p.GetHoldSeconds() > 0 {
		pairs = append(pairs, term.Pair{Name: "held for", Value: (time.Duration(p.GetHoldSeconds()) * time.Second).String()})
	}
	if host := p.GetWebhook().GetHost(); host != "" {
		if p.GetWebhook().GetSigned() {
			host += ", signed"
		}
		pairs = append(pairs, term.Pair{Name: "tells", Value: host})
	}
	return append(pairs, term.Pair{Name: "state", Value: policyState(p)})
}
