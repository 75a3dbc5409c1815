package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const auditLastDefault = 50

func (a *App) auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Read the audit log"}
	cmd.AddCommand(a.auditList())
	return cmd
}

func (a *App) auditList() *cobra.Command {
	var in scope
	var last, after int64
	var installation bool
	cmd := &cobra.Command{
		Use: "list", Short: "List who changed what, and what brokers refused", Args: term.Exactly(),
		Long: `List the audit log: who changed what, and what brokers refused to whom, at most one
entry a minute, oldest first. --installation shows the operator's own log.`,
		Example: "  covey audit list --last 20\n  covey audit list --after 120 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(in, func(s *session, merged scope) error {
				parent := "installation"
				if !installation {
					var err error
					if parent, err = merged.orgName(); err != nil {
						return err
					}
				}
				entries, err := auditEntries(cmd.Context(), apiv1.NewAuditServiceClient(s), parent, after, last, cmd.Flags().Changed("after"))
				if err != nil {
					return err
				}
				header := []string{"SEQUENCE", "TIME", "ACTOR", "METHOD", "TARGET", "REASON"}
				return showList(a, "entries", entries, header, func(e *apiv1.AuditEntry) []string {
					return []string{strconv.FormatInt(e.GetSequence(), 10), stamp(e.GetTime()), e.GetActor(), e.GetMethod(), e.GetTarget(), auditReason(e)}
				})
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.org, "org", "", "organization (default: the context's)")
	f.BoolVar(&installation, "installation", false, "the operator's own log")
	f.Int64Var(&last, "last", auditLastDefault, "how many of the newest entries")
	f.Int64Var(&after, "after", 0, "everything after the entry of this sequence")
	return cmd
}

// auditEntries reads the newest entries, or all after one.
func auditEntries(ctx context.Context, client apiv1.AuditServiceClient, parent string, after, last int64, all bool) ([]*apiv1.AuditEntry, error) {
	if last < 1 {
		return nil, term.Failf("use --last 1 or more", "%d entries cannot be listed", last)
	}
	if !all {
		r, err := client.ListAuditEntries(ctx, &apiv1.ListAuditEntriesRequest{Parent: parent, PageSize: 1})
		if err != nil {
			return nil, err
		}
		after = max(r.GetHeadSequence()-last, 0)
	}
	var entries []*apiv1.AuditEntry
	for {
		r, err := client.ListAuditEntries(ctx, &apiv1.ListAuditEntriesRequest{Parent: parent, PageSize: pageSize, AfterSequence: after})
		if err != nil {
			return nil, err
		}
		if len(r.GetEntries()) == 0 {
			return entries, nil
		}
		entries = append(entries, r.GetEntries()...)
		after = entries[len(entries)-1].GetSequence()
	}
}

// auditReason is why, or what was refused most.
func auditReason(e *apiv1.AuditEntry) string {
	if len(e.GetRefusals()) == 0 {
		return orElse(e.GetReason(), "-")
	}
	var total int64
	for _, r := range e.GetRefusals() {
		total += r.GetCount()
	}
	most := e.GetRefusals()[0]
	return fmt.Sprintf("%d refused; %d x %s of %s: %s", total, most.GetCount(), most.GetKind(), orElse(most.GetUserPublicKey(), "somebody"), most.GetReason())
}
