package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) alertCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "alert", Aliases: []string{"alerts"}, Short: "Be told before a limit is reached"}
	in := &scope{}
	cmd.PersistentFlags().StringVar(&in.org, "org", "", "organization (default: the context's)")
	cmd.AddCommand(a.alertList(in), a.alertGet(in), a.alertAck(in), a.alertPolicyCommand(in))
	return cmd
}

func (a *App) withAlert(flags scope, id string, f func(*session, string) error) error {
	return a.withScope(flags, func(s *session, in scope) error {
		name, err := in.ofOrganization(id, "alerts", "alert")
		if err != nil {
			return err
		}
		return f(s, name)
	})
}

func (a *App) alertList(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List alerts, newest first", Args: term.Exactly(),
		Example: "  covey alert list --filter 'state = OPEN'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.orgName()
				if err != nil {
					return err
				}
				client := apiv1.NewAlertServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListAlertsResponse, error) {
					return client.ListAlerts(ctx, &apiv1.ListAlertsRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListAlertsResponse).GetAlerts)
				if err != nil {
					return err
				}
				return showList(a, "alerts", all, []string{"ALERT", "STATE", "SEVERITY", "METRIC", "ACCOUNT", "VALUE", "THRESHOLD", "OPENED"}, func(l *apiv1.Alert) []string {
					return []string{
						lastSegment(l.GetName()), stateWord(l.GetState()), severityWord(l.GetSeverity()), l.GetMetric(), lastSegment(l.GetAccount()),
						strconv.FormatInt(l.GetValue(), 10), alertThreshold(l), stamp(l.GetOpenTime()),
					}
				})
			})
		},
	}
}

func severityWord(s apiv1.AlertSeverity) string { return enumWord(s, "ALERT_SEVERITY_") }

func alertThreshold(l *apiv1.Alert) string {
	if l.GetLimitPercent() == 0 {
		return strconv.FormatInt(l.GetThresholdValue(), 10)
	}
	return fmt.Sprintf("%d%% of %d", l.GetLimitPercent(), l.GetLimit())
}

func (a *App) alertGet(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "get ALERT", Short: "Show one alert, and what was told of it", Args: term.Exactly("ALERT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAlert(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewAlertServiceClient(s).GetAlert(cmd.Context(), &apiv1.GetAlertRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetAlert(), alertPairs(resp.GetAlert())...)
			})
		},
	}
}

func (a *App) alertAck(in *scope) *cobra.Command {
	var note string
	cmd := &cobra.Command{
		Use: "ack ALERT", Aliases: []string{"acknowledge"}, Short: "Say that you take care of an open alert", Args: term.Exactly("ALERT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAlert(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewAlertServiceClient(s).AcknowledgeAlert(cmd.Context(), &apiv1.AcknowledgeAlertRequest{
					Name: name, Note: note, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				return a.show(resp.GetAlert(), alertPairs(resp.GetAlert())...)
			})
		},
	}
	cmd.Flags().StringVar(&note, "note", "", "for those who come after")
	return cmd
}

func alertPairs(l *apiv1.Alert) []term.Pair {
	pairs := []term.Pair{
		{Name: "alert", Value: l.GetName()},
		{Name: "state", Value: stateWord(l.GetState())},
		{Name: "severity", Value: severityWord(l.GetSeverity())},
		{Name: "policy", Value: l.GetPolicy()},
		{Name: "metric", Value: l.GetMetric()},
		{Name: "account", Value: l.GetAccount()},
		{Name: "value", Value: strconv.FormatInt(l.GetValue(), 10)},
		{Name: "threshold", Value: alertThreshold(l)},
		{Name: "period", Value: l.GetPeriod()},
		{Name: "opened", Value: stamp(l.GetOpenTime())},
		{Name: "acknowledged", Value: stamp(l.GetAcknowledgeTime())},
		{Name: "acknowledged by", Value: l.GetAcknowledger()},
		{Name: "note", Value: l.GetNote()},
		{Name: "closed", Value: stamp(l.GetCloseTime())},
		{Name: "because", Value: l.GetCloseReason()},
	}
	for _, n := range l.GetNotifications() {
		text := stateWord(n.GetState())
		if n.GetError() != "" {
			text += fmt.Sprintf(" after %d attempts: %s", n.GetAttempts(), n.GetError())
		}
		pairs = append(pairs, term.Pair{Name: n.GetType(), Value: text})
	}
	return pairs
}
