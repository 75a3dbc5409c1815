package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/docs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain REASON", Short: "Say what an error means, or why a user may do something or not", Args: term.Exactly("REASON"),
		Example: "  covey explain ROLE_DENIED\n  covey explain access publish orders.new --user shop\n  covey explain limits",
		RunE:    func(_ *cobra.Command, args []string) error { return a.explainReason(args[0]) },
	}
	cmd.AddCommand(a.explainAccess(), a.explainLimits())
	return cmd
}

// reason is one row of docs/errors.md.
type reason struct {
	Reason string `json:"reason"`
	Code   string `json:"code,omitempty"` // of gRPC; none for what keeps a program from starting
	When   string `json:"when"`
}

// reasons reads the rows of docs/errors.md. A row may be of several reasons.
func reasons(text string) []reason {
	var all []reason
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) < 2 || !strings.HasPrefix(strings.TrimSpace(line), "| `") {
			continue
		}
		r := reason{When: strings.TrimSpace(cells[len(cells)-1])}
		if len(cells) > 2 {
			r.Code = strings.TrimSpace(cells[1])
		}
		for i, name := range strings.Split(cells[0], "`") {
			if i%2 == 1 { // between backquotes
				r.Reason = name
				all = append(all, r)
			}
		}
	}
	return all
}

func (a *App) explainReason(id string) error {
	for _, r := range reasons(docs.Errors()) {
		if r.Reason != strings.ToUpper(id) {
			continue
		}
		if a.streams.JSON {
			return a.streams.PrintJSON(r)
		}
		return a.streams.Describe(term.Pair{Name: "reason", Value: r.Reason}, term.Pair{Name: "code", Value: r.Code}, term.Pair{Name: "when", Value: r.When})
	}
	return term.NotFoundf("all are in docs/errors.md", "no error has the reason %q", id)
}

func (a *App) explainAccess() *cobra.Command {
	var in scope
	var queue, credential string
	cmd := &cobra.Command{
		Use: "access connect|publish|subscribe [SUBJECT]", Short: "Say whether brokers let a user do something, and what says so", Args: term.Between(1, "ACTION", "SUBJECT"),
		Example: "  covey explain access publish orders.new --user shop\n  covey explain access subscribe 'orders.>' --queue workers",
		RunE: func(cmd *cobra.Command, args []string) error {
			action, err := pick("action", args[0], map[string]apiv1.ExplainAccessRequest_Action{
				"connect": apiv1.ExplainAccessRequest_ACTION_CONNECT, "publish": apiv1.ExplainAccessRequest_ACTION_PUBLISH,
				"subscribe": apiv1.ExplainAccessRequest_ACTION_SUBSCRIBE,
			})
			if err != nil {
				return err
			}
			return a.withScope(in, func(s *session, in scope) error {
				user, err := in.defaultUser()
				if err != nil {
					return err
				}
				resp, err := apiv1.NewAccessServiceClient(s).ExplainAccess(cmd.Context(), &apiv1.ExplainAccessRequest{
					Name: user, Action: action, Subject: strings.Join(args[1:], ""), QueueGroup: queue, CredentialId: lastSegment(credential),
				})
				if err != nil {
					return err
				}
				return a.showFindings(resp)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.org, "org", "", "organization (default: the context's)")
	f.StringVar(&in.account, "account", "", "account (default: the context's)")
	f.StringVar(&in.user, "user", "", "user (default: the context's)")
	f.StringVar(&queue, "queue", "", "queue group of the subscription")
	f.StringVar(&credential, "credential", "", "only this credential of the user")
	return cmd
}

func (a *App) showFindings(resp *apiv1.ExplainAccessResponse) error {
	if a.streams.JSON {
		return a.show(resp)
	}
	rows := make([][]string, 0, len(resp.GetFindings()))
	for _, f := range resp.GetFindings() {
		text := f.GetDetail()
		if f.GetNext() != "" {
			text += "; " + f.GetNext()
		}
		rows = append(rows, []string{f.GetLayer(), enumWord(f.GetOutcome(), "OUTCOME_"), text})
	}
	if err := a.streams.Table([]string{"LAYER", "SAYS", "WHY"}, rows); err != nil {
		return err
	}
	if resp.GetAllowed() {
		a.streams.Sayf("Allowed.")
	} else {
		a.streams.Sayf("Refused.")
	}
	return nil
}

func (a *App) explainLimits() *cobra.Command {
	var in scope
	cmd := &cobra.Command{
		Use: "limits [ACCOUNT]", Short: "Show which limits of an account are in force, and what set each", Args: term.Between(0, "ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.account = strings.Join(args, "")
			return a.withScope(in, func(s *session, in scope) error {
				name, err := in.defaultAccount()
				if err != nil {
					return err
				}
				resp, err := apiv1.NewAccessServiceClient(s).GetEffectiveLimits(cmd.Context(), &apiv1.GetEffectiveLimitsRequest{Name: name})
				if err != nil {
					return err
				}
				return showList(a, "limits", resp.GetLimits(), []string{"LIMIT", "VALUE", "SET BY"}, func(l *apiv1.EffectiveLimit) []string {
					value := "unlimited"
					if l.Value != nil {
						value = strconv.FormatInt(l.GetValue(), 10)
					}
					return []string{l.GetLimit(), value, l.GetLayer()}
				})
			})
		},
	}
	cmd.Flags().StringVar(&in.org, "org", "", "organization (default: the context's)")
	return cmd
}
