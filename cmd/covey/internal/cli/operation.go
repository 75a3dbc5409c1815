package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// Waiting for the fleet.
const (
	waitTimeoutDefault = 30 * time.Second
	waitRound          = time.Second // how long one call waits, so that progress is seen
)

// waiting is the flags of a command that may wait for the brokers.
type waiting struct {
	wait    bool
	timeout time.Duration
}

func (w *waiting) flags(cmd *cobra.Command, byDefault bool) {
	cmd.Flags().BoolVar(&w.wait, "wait", byDefault, "wait until every connected broker enforces it")
	cmd.Flags().DurationVar(&w.timeout, "wait-timeout", waitTimeoutDefault, "how long to wait for the brokers")
}

// settle waits, if the flags say so, and returns the operation as it is then.
func (w *waiting) settle(ctx context.Context, a *App, s *session, op *apiv1.Operation) (*apiv1.Operation, error) {
	if !w.wait || op == nil {
		return op, nil
	}
	return a.follow(ctx, s, op, apiv1.Operation_STATE_ENFORCED, w.timeout)
}

// follow waits until an operation has reached a state, telling of each broker
// that acknowledges on the way. When time is up it returns the operation as it
// is and a Fault that says who is missing.
func (a *App) follow(ctx context.Context, s *session, op *apiv1.Operation, until apiv1.Operation_State, timeout time.Duration) (*apiv1.Operation, error) {
	client := apiv1.NewOperationServiceClient(s)
	deadline := time.Now().Add(timeout)
	told := make(map[string]bool)
	for {
		a.tellProgress(op, told)
		left := time.Until(deadline)
		if op.GetState() >= until {
			return op, nil
		}
		if left <= 0 {
			return op, term.Partialf("it is written and spreads by itself; look again with `covey operation wait "+lastSegment(op.GetName())+"`",
				"not in force everywhere after %s; missing: %s", timeout, strings.Join(missing(op, until), ", "))
		}
		resp, err := client.WaitOperation(ctx, &apiv1.WaitOperationRequest{
			Name: op.GetName(), Until: until, Timeout: durationpb.New(min(left, waitRound)),
		})
		if err != nil {
			return op, err
		}
		op = resp.GetOperation()
	}
}

func (a *App) tellProgress(op *apiv1.Operation, told map[string]bool) {
	for _, b := range op.GetBrokers() {
		if b.GetAcknowledged() && !told[b.GetBroker()] {
			told[b.GetBroker()] = true
			a.streams.Sayf("broker %s enforces it", term.Clean(brokerLabel(b)))
		}
	}
}

func brokerLabel(b *apiv1.BrokerProgress) string { return orElse(b.GetDisplayName(), b.GetBroker()) }

// missing lists the brokers that hold an operation back from a state.
func missing(op *apiv1.Operation, until apiv1.Operation_State) []string {
	var names []string
	for _, b := range op.GetBrokers() {
		if !b.GetAcknowledged() && (b.GetLeased() || until == apiv1.Operation_STATE_DONE) {
			names = append(names, brokerLabel(b))
		}
	}
	if len(names) == 0 {
		return []string{"the control plane's own record"}
	}
	return names
}

func (a *App) operationCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "operation", Aliases: []string{"operations"}, Short: "See how far changes have travelled"}
	var in scope
	cmd.PersistentFlags().StringVar(&in.org, "org", "", "organization (default: the context's)")
	cmd.AddCommand(a.operationGet(&in), a.operationList(&in), a.operationWait(&in))
	return cmd
}

func (a *App) operationGet(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "get OPERATION", Short: "Show one operation and each broker's part in it", Args: term.Exactly("OPERATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withOperation(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewOperationServiceClient(s).GetOperation(cmd.Context(), &apiv1.GetOperationRequest{Name: name})
				if err != nil {
					return err
				}
				return a.showOperation(resp.GetOperation())
			})
		},
	}
}

func (a *App) operationWait(in *scope) *cobra.Command {
	var timeout time.Duration
	var done bool
	cmd := &cobra.Command{
		Use: "wait OPERATION", Short: "Wait until every connected broker enforces a change", Args: term.Exactly("OPERATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withOperation(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewOperationServiceClient(s).GetOperation(cmd.Context(), &apiv1.GetOperationRequest{Name: name})
				if err != nil {
					return err
				}
				until := apiv1.Operation_STATE_ENFORCED
				if done {
					until = apiv1.Operation_STATE_DONE
				}
				op, err := a.follow(cmd.Context(), s, resp.GetOperation(), until, timeout)
				if showErr := a.showOperation(op); err == nil {
					err = showErr
				}
				return err
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "wait-timeout", waitTimeoutDefault, "how long to wait")
	cmd.Flags().BoolVar(&done, "done", false, "wait for brokers that are out of reach, too")
	return cmd
}

func (a *App) operationList(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the last 30 days' operations, newest first", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.orgName()
				if err != nil {
					return err
				}
				client := apiv1.NewOperationServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListOperationsResponse, error) {
					return client.ListOperations(ctx, &apiv1.ListOperationsRequest{Parent: parent, PageSize: pageSize, PageToken: token})
				}, (*apiv1.ListOperationsResponse).GetOperations)
				if err != nil {
					return err
				}
				return showList(a, "operations", all, []string{"OPERATION", "METHOD", "TARGET", "STATE", "CREATED"},
					func(op *apiv1.Operation) []string {
						return []string{lastSegment(op.GetName()), op.GetMethod(), op.GetTarget(), stateWord(op.GetState()), stamp(op.GetCreateTime())}
					})
			})
		},
	}
}

// withScope runs f with a session and the merged scope.
func (a *App) withScope(flags scope, f func(*session, scope) error) error {
	return a.withSession(func(s *session) error {
		in, err := scopeOf(s.ctx, flags)
		if err != nil {
			return err
		}
		return f(s, in)
	})
}

func (a *App) withOperation(flags scope, id string, f func(*session, string) error) error {
	return a.withScope(flags, func(s *session, in scope) error {
		name, err := in.operationName(id)
		if err != nil {
			return err
		}
		return f(s, name)
	})
}

func (a *App) showOperation(op *apiv1.Operation) error {
	pairs := []term.Pair{
		{Name: "operation", Value: op.GetName()},
		{Name: "method", Value: op.GetMethod()},
		{Name: "target", Value: op.GetTarget()},
		{Name: "state", Value: stateWord(op.GetState())},
		{Name: "revision", Value: strconv.FormatInt(op.GetRevision(), 10)},
		{Name: "created", Value: stamp(op.GetCreateTime())},
	}
	for _, b := range op.GetBrokers() {
		pairs = append(pairs, term.Pair{Name: "broker " + brokerLabel(b), Value: progressWord(b)})
	}
	return a.show(op, pairs...)
}

func progressWord(b *apiv1.BrokerProgress) string {
	switch {
	case b.GetAcknowledged():
		return "acknowledged " + stamp(b.GetAcknowledgeTime())
	case b.GetLeased():
		return "connected, not yet acknowledged"
	case b.GetServeUntilTime() == nil:
		return "out of reach; may serve the old state until it is back, or somebody vouches for it"
	default:
		return "out of reach; may serve the old state until " + stamp(b.GetServeUntilTime())
	}
}

// stateWord is the enum's name without its prefix, in lower case and with
// hyphens.
func enumWord(v interface{ String() string }, prefix string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(v.String(), prefix)), "_", "-")
}

func stateWord(state interface{ String() string }) string {
	return enumWord(state, "STATE_")
}
