package cli

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) importCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "import", Aliases: []string{"imports"}, Short: "Take what other accounts export, or share"}
	in := accountFlags(cmd)
	cmd.AddCommand(a.importCreate(in), a.importList(in), a.importGet(in), a.importDelete(in))
	return cmd
}

// withImport runs f with a session and the full name of an import.
func (a *App) withImport(flags scope, id string, f func(*session, scope, string) error) error {
	return a.withScope(flags, func(s *session, in scope) error {
		name, err := in.ofAccount(id, segImports, "import")
		if err != nil {
			return err
		}
		return f(s, in, name)
	})
}

func (a *App) importCreate(in *scope) *cobra.Command {
	var w waiting
	var from, share, subject, local string
	var requestor bool
	cmd := &cobra.Command{
		Use: "create NAME --from ACCOUNT/EXPORT | --share SHARE", Short: "Import an export of the organization, or a share", Args: term.Exactly("NAME"),
		Example: "  covey import create prices --from default/prices --local 'shop.price.$1'\n  covey import create acme --share shr_...",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withImport(*in, args[0], func(s *session, in scope, name string) error {
				source, err := in.importSource(from, share)
				if err != nil {
					return err
				}
				parent, id := splitName(name)
				resp, err := apiv1.NewImportServiceClient(s).CreateImport(cmd.Context(), &apiv1.CreateImportRequest{
					Parent: parent, ImportId: id, RequestId: uuid.NewString(),
					Import: &apiv1.Import{Source: source, Subject: subject, LocalSubject: local, ShareRequestor: requestor},
				})
				if err != nil {
					return err
				}
				return a.showSettled(cmd.Context(), s, &w, resp.GetOperation(), resp.GetImport(), importPairs(resp.GetImport())...)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "an account of the organization and its export")
	f.StringVar(&share, "share", "", "a share that was accepted: `covey share list`")
	f.StringVar(&subject, "subject", "", "only this part of what is exported")
	f.StringVar(&local, "local", "", "subject in this account; $1 stands for the first wildcard, and so on")
	f.BoolVar(&requestor, "share-requestor", false, "of a service: let the exporter see who asks")
	w.flags(cmd, true)
	return cmd
}

// importSource makes a full name of what to import.
func (s scope) importSource(from, share string) (string, error) {
	switch {
	case (from == "") == (share == ""):
		return "", term.Usagef("give one of both", "--from or --share says what to import")
	case share != "":
		return s.ofOrganization(share, segShares, "share")
	case isFull(from):
		return fullName(from, segExports, "", "export")
	}
	for i := range len(from) {
		if from[i] == '/' {
			account, err := s.accountName(from[:i])
			if err != nil {
				return "", err
			}
			return fullName(from[i+1:], segExports, account, "export")
		}
	}
	return "", term.Usagef("for example --from default/prices", "--from %q is not an account and an export", from)
}

func (a *App) importList(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the imports of an account, and whether their exporters allow them", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.defaultAccount()
				if err != nil {
					return err
				}
				client := apiv1.NewImportServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListImportsResponse, error) {
					return client.ListImports(ctx, &apiv1.ListImportsRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListImportsResponse).GetImports)
				if err != nil {
					return err
				}
				return showList(a, "imports", all, []string{"IMPORT", "TYPE", "SUBJECT", "LOCAL", "STATE", "FROM"}, func(i *apiv1.Import) []string {
					return []string{
						lastSegment(i.GetName()), enumWord(i.GetType(), "TYPE_"), i.GetSubject(), orElse(i.GetLocalSubject(), i.GetSubject()),
						importState(i), i.GetSource(),
					}
				})
			})
		},
	}
}

func (a *App) importGet(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Short: "Show one import", Args: term.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withImport(*in, args[0], func(s *session, _ scope, name string) error {
				resp, err := apiv1.NewImportServiceClient(s).GetImport(cmd.Context(), &apiv1.GetImportRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetImport(), importPairs(resp.GetImport())...)
			})
		},
	}
}

func (a *App) importDelete(in *scope) *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "End an import", Args: term.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withImport(*in, args[0], func(s *session, _ scope, name string) error {
				resp, err := apiv1.NewImportServiceClient(s).DeleteImport(cmd.Context(), &apiv1.DeleteImportRequest{Name: name, RequestId: uuid.NewString()})
				if err != nil {
					return err
				}
				op, err := w.settle(cmd.Context(), a, s, resp.GetOperation())
				if showErr := a.show(resp, deletedPairs(name, op)...); err == nil {
					err = showErr
				}
				return err
			})
		},
	}
	w.flags(cmd, true)
	return cmd
}

func importState(i *apiv1.Import) string {
	if i.GetBrokenReason() == "" {
		return stateWord(i.GetState())
	}
	return stateWord(i.GetState()) + ": " + i.GetBrokenReason()
}

func importPairs(i *apiv1.Import) []term.Pair {
	return []term.Pair{
		{Name: "import", Value: i.GetName()},
		{Name: "from", Value: i.GetSource()},
		{Name: "type", Value: enumWord(i.GetType(), "TYPE_")},
		{Name: "subject", Value: i.GetSubject()},
		{Name: "local subject", Value: i.GetLocalSubject()},
		{Name: "state", Value: importState(i)},
		{Name: "expires", Value: stamp(i.GetExpireTime())},
	}
}
