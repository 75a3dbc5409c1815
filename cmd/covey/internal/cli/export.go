package cli

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) exportCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "export", Aliases: []string{"exports"}, Short: "Let other accounts import subjects of an account"}
	in := accountFlags(cmd)
	cmd.AddCommand(a.exportCreate(in), a.exportList(in), a.exportGet(in), a.exportUpdate(in), a.exportDelete(in))
	return cmd
}

// accountFlags gives a group of commands --org and --account.
func accountFlags(cmd *cobra.Command) *scope {
	in := &scope{}
	cmd.PersistentFlags().StringVar(&in.org, "org", "", "organization (default: the context's)")
	cmd.PersistentFlags().StringVar(&in.account, "account", "", "account (default: the context's)")
	return in
}

// withExport runs f with a session and the full name of an export.
func (a *App) withExport(flags scope, id string, f func(*session, string) error) error {
	return a.withScope(flags, func(s *session, in scope) error {
		name, err := in.ofAccount(id, segExports, "export")
		if err != nil {
			return err
		}
		return f(s, name)
	})
}

// exportFields is the flags that say what an export is.
type exportFields struct {
	description, subject, kind, audience, answers string
	latency                                       string
	threshold                                     time.Duration
	sampling                                      int32
}

func (x *exportFields) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&x.description, "description", "", "for people")
	f.StringVar(&x.audience, "audience", "organization", "who may import: organization (its accounts freely, others with an offer) or offered (only with an offer)")
	f.StringVar(&x.answers, "answers", "one", "of a service: one, many or chunked")
	f.DurationVar(&x.threshold, "response-threshold", 0, "of a service: how long an answer may take (default 2m)")
	f.StringVar(&x.latency, "latency-to", "", "of a service: subject that measurements go to")
	f.Int32Var(&x.sampling, "latency-sampling", 0, "of a service: how many of a hundred requests are measured (default 100)")
}

// pick returns what a word of a flag stands for.
func pick[T any](flag, word string, known map[string]T) (T, error) {
	v, ok := known[word]
	if !ok {
		return v, term.Usagef("use one of "+strings.Trim(strings.Join(slices.Sorted(maps.Keys(known)), ", "), ", "), "--%s %q is not known", flag, word)
	}
	return v, nil
}

func (x *exportFields) message(name string) (*apiv1.Export, error) {
	kind, err := pick("type", x.kind, map[string]apiv1.Export_Type{"": 0, "stream": apiv1.Export_TYPE_STREAM, "service": apiv1.Export_TYPE_SERVICE})
	if err != nil {
		return nil, err
	}
	audience, err := pick("audience", x.audience, map[string]apiv1.Export_Audience{"organization": apiv1.Export_AUDIENCE_ORGANIZATION, "offered": apiv1.Export_AUDIENCE_OFFERED})
	if err != nil {
		return nil, err
	}
	answers, err := pick("answers", x.answers, map[string]apiv1.Export_ResponseType{
		"one": apiv1.Export_RESPONSE_TYPE_SINGLETON, "many": apiv1.Export_RESPONSE_TYPE_STREAM, "chunked": apiv1.Export_RESPONSE_TYPE_CHUNKED,
	})
	if err != nil {
		return nil, err
	}
	if x.threshold%time.Millisecond != 0 {
		return nil, term.Usagef("for example 500ms", "--response-threshold %s is not a number of whole milliseconds", x.threshold)
	}
	return &apiv1.Export{
		Name: name, Description: x.description, Subject: x.subject, Type: kind, Audience: audience, ResponseType: answers,
		ResponseThresholdMs: x.threshold.Milliseconds(), LatencySubject: x.latency, LatencySamplingPercent: x.sampling,
	}, nil
}

func (a *App) exportCreate(in *scope) *cobra.Command {
	var x exportFields
	var w waiting
	cmd := &cobra.Command{
		Use: "create NAME SUBJECT --type stream|service", Short: "Let other accounts import a subject", Args: term.Exactly("NAME", "SUBJECT"),
		Example: "  covey export create prices 'price.*' --type service\n  covey export create orders 'orders.>' --type stream --audience offered",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withExport(*in, args[0], func(s *session, name string) error {
				x.subject = args[1]
				message, err := x.message("")
				if err != nil {
					return err
				}
				parent, id := splitName(name)
				resp, err := apiv1.NewExportServiceClient(s).CreateExport(cmd.Context(), &apiv1.CreateExportRequest{
					Parent: parent, ExportId: id, Export: message, RequestId: uuid.NewString(),
				})
				if err != nil {
					return err
				}
				return a.showSettled(cmd.Context(), s, &w, resp.GetOperation(), resp.GetExport(), exportPairs(resp.GetExport())...)
			})
		},
	}
	x.flags(cmd)
	cmd.Flags().StringVar(&x.kind, "type", "", "stream: importers receive; service: importers ask")
	_ = cmd.MarkFlagRequired("type")
	w.flags(cmd, true)
	return cmd
}

// showSettled waits for an operation, if flags say so, and shows a resource
// whatever came of the wait.
func (a *App) showSettled(ctx context.Context, s *session, w *waiting, op *apiv1.Operation, resource proto.Message, pairs ...term.Pair) error {
	_, err := w.settle(ctx, a, s, op)
	if showErr := a.show(resource, pairs...); err == nil {
		err = showErr
	}
	return err
}

func (a *App) exportList(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the exports of an account", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.defaultAccount()
				if err != nil {
					return err
				}
				client := apiv1.NewExportServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListExportsResponse, error) {
					return client.ListExports(ctx, &apiv1.ListExportsRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListExportsResponse).GetExports)
				if err != nil {
					return err
				}
				return showList(a, "exports", all, []string{"EXPORT", "TYPE", "SUBJECT", "AUDIENCE", "IMPORTS"}, func(e *apiv1.Export) []string {
					return []string{lastSegment(e.GetName()), enumWord(e.GetType(), "TYPE_"), e.GetSubject(), enumWord(e.GetAudience(), "AUDIENCE_"), strings.Join(e.GetImports(), " ")}
				})
			})
		},
	}
}

func (a *App) exportGet(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Short: "Show one export and who imports it", Args: term.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withExport(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewExportServiceClient(s).GetExport(cmd.Context(), &apiv1.GetExportRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetExport(), exportPairs(resp.GetExport())...)
			})
		},
	}
}

func (a *App) exportUpdate(in *scope) *cobra.Command {
	var x exportFields
	var w waiting
	var etag string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change what the flags name, and nothing else", Args: term.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withExport(*in, args[0], func(s *session, name string) error {
				message, err := x.message(name)
				if err != nil {
					return err
				}
				message.Etag = etag
				mask := &fieldmaskpb.FieldMask{}
				for flag, path := range map[string]string{
					"description": "description", "subject": "subject", "audience": "audience", "answers": "response_type",
					"response-threshold": "response_threshold_ms", "latency-to": "latency_subject", "latency-sampling": "latency_sampling_percent",
				} {
					if cmd.Flags().Changed(flag) {
						mask.Paths = append(mask.Paths, path)
					}
				}
				if len(mask.GetPaths()) == 0 {
					return term.Usagef("see `covey export update --help`", "nothing to change")
				}
				resp, err := apiv1.NewExportServiceClient(s).UpdateExport(cmd.Context(), &apiv1.UpdateExportRequest{
					Export: message, UpdateMask: mask, RequestId: uuid.NewString(), ValidateOnly: dryRun,
				})
				if err != nil {
					return err
				}
				pairs := append(exportPairs(resp.GetExport()), term.Pair{Name: "breaks", Value: strings.Join(resp.GetBrokenImports(), ", ")})
				return a.showSettled(cmd.Context(), s, &w, resp.GetOperation(), resp.GetExport(), pairs...)
			})
		},
	}
	x.flags(cmd)
	cmd.Flags().StringVar(&x.subject, "subject", "", "what is exported")
	cmd.Flags().StringVar(&etag, "etag", "", "refuse if it is no longer at this etag")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "change nothing; show which imports would break")
	w.flags(cmd, true)
	return cmd
}

func (a *App) exportDelete(in *scope) *cobra.Command {
	var w waiting
	var force, dryRun bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "End an export", Args: term.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withExport(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewExportServiceClient(s).DeleteExport(cmd.Context(), &apiv1.DeleteExportRequest{
					Name: name, Force: force, RequestId: uuid.NewString(), ValidateOnly: dryRun,
				})
				if err != nil {
					return err
				}
				op, err := w.settle(cmd.Context(), a, s, resp.GetOperation())
				pairs := append(deletedPairs(name, op), term.Pair{Name: "breaks", Value: strings.Join(resp.GetBrokenImports(), ", ")},
					term.Pair{Name: "revokes", Value: strings.Join(resp.GetRevokedOffers(), ", ")})
				if showErr := a.show(resp, pairs...); err == nil {
					err = showErr
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also while somebody imports it")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "end nothing; show what would break")
	w.flags(cmd, true)
	return cmd
}

func exportPairs(e *apiv1.Export) []term.Pair {
	return []term.Pair{
		{Name: "export", Value: e.GetName()},
		{Name: "description", Value: e.GetDescription()},
		{Name: "type", Value: enumWord(e.GetType(), "TYPE_")},
		{Name: "subject", Value: e.GetSubject()},
		{Name: "audience", Value: enumWord(e.GetAudience(), "AUDIENCE_")},
		{Name: "latency to", Value: e.GetLatencySubject()},
		{Name: "imports", Value: strings.Join(e.GetImports(), ", ")},
	}
}
