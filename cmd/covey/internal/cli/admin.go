package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

const adminName = "admin"

func (a *App) adminCommand() *cobra.Command {
	cmd := &cobra.Command{Use: adminName, Short: "For the operator's staff: keep an installation safe"}
	audit := &cobra.Command{Use: "audit", Short: "See to the audit logs"}
	audit.AddCommand(a.adminAuditVerify())
	cmd.AddCommand(a.adminBackup(), audit, a.adminBroker(), a.adminOperator(), a.adminFleetCA(), a.adminCollector(), a.adminCluster())
	cmd.AddCommand(a.adminPlan(), a.adminQuota(), a.adminOrg())
	return cmd
}

func (a *App) adminBackup() *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Copy the store of the running control plane to a file", Args: term.Exactly("FILE"),
		Long: `Copy the store of the running control plane to a file, as it is at one moment.
The copy holds sealed secrets, and not the key that opens them: keep custody.key
elsewhere. Usage and the audit log are in the ledger, which has backups of its own.`,
		Example: "  covey admin backup /backups/covey-$(date +%F).backup\n  covey admin verify /backups/covey-2026-11-23.backup",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSession(func(s *session) error {
				n, err := a.backupTo(cmd.Context(), s, args[0])
				if err != nil {
					return err
				}
				if a.streams.JSON {
					return a.streams.PrintJSON(map[string]any{"file": args[0], "bytes": n})
				}
				return a.streams.Describe(term.Pair{Name: "file", Value: args[0]}, term.Pair{Name: "bytes", Value: strconv.FormatInt(n, 10)})
			})
		},
	}
}

// backupTo writes the file whole or not at all.
func (a *App) backupTo(ctx context.Context, s *session, path string) (n int64, err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".covey-backup-*") // for the owner only
	if err != nil {
		return 0, term.Failf("choose a directory that you can write", "make backup: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	n, err = receive(ctx, s, tmp)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return 0, err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return 0, fmt.Errorf("put backup in place: %w", err)
	}
	return n, nil
}

func receive(ctx context.Context, s *session, w io.Writer) (n int64, err error) {
	stream, err := adminv1.NewMaintenanceServiceClient(s).Backup(ctx, &adminv1.BackupRequest{})
	if err != nil {
		return 0, err
	}
	for {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		written, err := w.Write(piece.GetData())
		n += int64(written)
		if err != nil {
			return n, fmt.Errorf("write backup: %w", err)
		}
	}
}

func (a *App) adminAuditVerify() *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Check that no entry of any audit log was changed, taken out or cut off", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSession(func(s *session) error {
				all, bad, err := verdicts(cmd.Context(), s)
				if err != nil {
					return err
				}
				err = showList(a, "logs", all, []string{"LOG", "GOOD", "HEAD", "PROBLEM"}, func(v *adminv1.VerifyAuditResponse) []string {
					name := v.GetOrganization()
					if name == "" {
						name = "(installation)"
					}
					return []string{name, strconv.FormatInt(v.GetEntries(), 10), strconv.FormatInt(v.GetHead(), 10), v.GetProblem()}
				})
				if err == nil && bad > 0 {
					err = term.Failf("find out who can write the ledger; docs/operations/audit.md says more", "%d of %d audit logs are not whole", bad, len(all))
				}
				return err
			})
		},
	}
}

func verdicts(ctx context.Context, s *session) (all []*adminv1.VerifyAuditResponse, bad int, err error) {
	stream, err := adminv1.NewMaintenanceServiceClient(s).VerifyAudit(ctx, &adminv1.VerifyAuditRequest{})
	if err != nil {
		return nil, 0, err
	}
	for {
		v, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, bad, nil
		}
		if err != nil {
			return nil, 0, err
		}
		all = append(all, v)
		if v.GetProblem() != "" {
			bad++
		}
	}
}
