package cli

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) accountCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "account", Aliases: []string{"accounts"}, Short: "Manage accounts: isolated messaging worlds"}
	in := &scope{}
	cmd.PersistentFlags().StringVar(&in.org, "org", "", "organization (default: the context's)")
	cmd.AddCommand(a.accountCreate(in), a.accountList(in), a.accountGet(in), a.accountUpdate(in),
		a.accountSuspend(in), a.accountResume(in), a.accountDelete(in), a.accountUndelete(in), a.accountPurge(in))
	return cmd
}

// withAccount runs f with a session and the full name of an account.
func (a *App) withAccount(flags scope, id string, f func(*session, string) error) error {
	return a.withScope(flags, func(s *session, in scope) error {
		name, err := in.accountName(id)
		if err != nil {
			return err
		}
		return f(s, name)
	})
}

func (a *App) accountCreate(in *scope) *cobra.Command {
	var w waiting
	var fields accountFields
	cmd := &cobra.Command{
		Use: "create ACCOUNT", Short: "Create an account", Args: term.Exactly("ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			account, _, err := fields.message(cmd.Flags())
			if err != nil {
				return err
			}
			return a.withAccount(*in, args[0], func(s *session, name string) error {
				parent, id := splitName(name)
				resp, err := apiv1.NewAccountServiceClient(s).CreateAccount(cmd.Context(), &apiv1.CreateAccountRequest{
					Parent: parent, AccountId: id, Account: account, RequestId: uuid.NewString(),
				})
				return a.accountChanged(cmd.Context(), s, &w, resp, err)
			})
		},
	}
	fields.flags(cmd.Flags())
	w.flags(cmd, false)
	return cmd
}

func (a *App) accountList(in *scope) *cobra.Command {
	var deleted bool
	cmd := &cobra.Command{
		Use: "list", Short: "List an organization's accounts", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withScope(*in, func(s *session, in scope) error {
				parent, err := in.orgName()
				if err != nil {
					return err
				}
				client := apiv1.NewAccountServiceClient(s)
				all, err := listAll(cmd.Context(), func(ctx context.Context, token string) (*apiv1.ListAccountsResponse, error) {
					return client.ListAccounts(ctx, &apiv1.ListAccountsRequest{Parent: parent, PageSize: pageSize, PageToken: token, ShowDeleted: deleted})
				}, (*apiv1.ListAccountsResponse).GetAccounts)
				if err != nil {
					return err
				}
				return showList(a, "accounts", all, []string{"ACCOUNT", "STATE", "PUBLIC KEY", "CREATED"},
					func(acc *apiv1.Account) []string {
						return []string{lastSegment(acc.GetName()), stateWord(acc.GetState()), acc.GetPublicKey(), stamp(acc.GetCreateTime())}
					})
			})
		},
	}
	cmd.Flags().BoolVar(&deleted, "deleted", false, "also those that are deleted and not purged yet")
	return cmd
}

func (a *App) accountGet(in *scope) *cobra.Command {
	return &cobra.Command{
		Use: "get ACCOUNT", Short: "Show one account", Args: term.Exactly("ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAccount(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewAccountServiceClient(s).GetAccount(cmd.Context(), &apiv1.GetAccountRequest{Name: name})
				if err != nil {
					return err
				}
				return a.show(resp.GetAccount(), accountPairs(resp.GetAccount())...)
			})
		},
	}
}

func (a *App) accountUpdate(in *scope) *cobra.Command {
	var w waiting
	var fields accountFields
	var etag string
	cmd := &cobra.Command{
		Use: "update ACCOUNT", Short: "Change what the flags name, and nothing else", Args: term.Exactly("ACCOUNT"),
		Example: "  covey account update orders --connections 500 --payload unlimited",
		RunE: func(cmd *cobra.Command, args []string) error {
			account, mask, err := fields.message(cmd.Flags())
			if err != nil {
				return err
			}
			if len(mask.GetPaths()) == 0 {
				return term.Usagef("see `covey account update --help`", "nothing to change")
			}
			return a.withAccount(*in, args[0], func(s *session, name string) error {
				account.Name, account.Etag = name, etag
				resp, err := apiv1.NewAccountServiceClient(s).UpdateAccount(cmd.Context(), &apiv1.UpdateAccountRequest{
					Account: account, UpdateMask: mask, RequestId: uuid.NewString(),
				})
				return a.accountChanged(cmd.Context(), s, &w, resp, err)
			})
		},
	}
	fields.flags(cmd.Flags())
	cmd.Flags().StringVar(&etag, "etag", "", "refuse if the account is no longer at this etag")
	w.flags(cmd, false)
	return cmd
}

func (a *App) accountSuspend(in *scope) *cobra.Command {
	var w waiting
	var reason string
	cmd := &cobra.Command{
		Use: "suspend ACCOUNT", Short: "Disconnect an account's clients and refuse new ones, reversibly", Args: term.Exactly("ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAccount(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewAccountServiceClient(s).SuspendAccount(cmd.Context(), &apiv1.SuspendAccountRequest{
					Name: name, Reason: reason, RequestId: uuid.NewString(),
				})
				return a.accountChanged(cmd.Context(), s, &w, resp, err)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	w.flags(cmd, true)
	return cmd
}

func (a *App) accountResume(in *scope) *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "resume ACCOUNT", Short: "Let a suspended account's clients in again", Args: term.Exactly("ACCOUNT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAccount(*in, args[0], func(s *session, name string) error {
				resp, err := apiv1.NewAccountServiceClient(s).ResumeAccount(cmd.Context(), &apiv1.ResumeAccountRequest{
					Name: name, RequestId: uuid.NewString(),
				})
				return a.accountChanged(cmd.Context(), s, &w, resp, err)
			})
		},
	}
	w.flags(cmd, true)
	return cmd
}

func deletedPairs(name string, op *apiv1.Operation) []term.Pair {
	return append([]term.Pair{{Name: "deleted", Value: name}}, operationPairs(op)...)
}

func operationPairs(op *apiv1.Operation) []term.Pair {
	if op == nil {
		return nil
	}
	return []term.Pair{{Name: "operation", Value: lastSegment(op.GetName()) + " (" + stateWord(op.GetState()) + ")"}}
}

// changedMessage is the answer of a write that brokers act on.
type changedMessage interface {
	proto.Message
	GetOperation() *apiv1.Operation
}

// changed is the answer of a write to an account.
type changed interface {
	changedMessage
	GetAccount() *apiv1.Account
}

// accountChanged waits as the flags say and prints what the account is now,
// even when the brokers took too long: the change itself happened.
func (a *App) accountChanged(ctx context.Context, s *session, w *waiting, resp changed, err error) error {
	if err != nil {
		return err
	}
	op, waitErr := w.settle(ctx, a, s, resp.GetOperation())
	setOperation(resp, op)
	pairs := append(accountPairs(resp.GetAccount()), operationPairs(op)...)
	return errors.Join(a.show(resp, pairs...), waitErr)
}

func setOperation(resp changedMessage, op *apiv1.Operation) {
	if op == nil {
		return
	}
	m := resp.ProtoReflect()
	m.Set(m.Descriptor().Fields().ByName("operation"), protoreflect.ValueOfMessage(op.ProtoReflect()))
}

func accountPairs(acc *apiv1.Account) []term.Pair {
	pairs := []term.Pair{
		{Name: "account", Value: acc.GetName()},
		{Name: "display name", Value: acc.GetDisplayName()},
		{Name: "state", Value: stateWord(acc.GetState())},
		{Name: "public key", Value: acc.GetPublicKey()},
	}
	l := acc.GetLimits()
	if l == nil {
		l = &apiv1.Limits{}
	}
	for _, limit := range []struct {
		name  string
		value *int64
	}{
		{"connections", l.Connections},
		{"subscriptions per connection", l.Subscriptions},
		{"payload bytes", l.PayloadBytes},
		{"leaf nodes", l.LeafNodes},
		{"data bytes per month", l.DataBytes},
	} {
		if limit.value != nil {
			pairs = append(pairs, term.Pair{Name: limit.name, Value: strconv.FormatInt(*limit.value, 10)})
		}
	}
	pairs = append(pairs, quotaPairs(l)...)
	if ttl := acc.GetDefaultCredentialTtlSeconds(); ttl > 0 {
		pairs = append(pairs, term.Pair{Name: "credential life", Value: (time.Duration(ttl) * time.Second).String()})
	}
	if c := acc.GetAuthCallout(); c != nil {
		pairs = append(pairs, term.Pair{Name: "who connects is decided by", Value: strings.Join(c.GetUserPublicKeys(), ", ")})
	}
	if acc.GetDeleteProtection() {
		pairs = append(pairs, term.Pair{Name: "delete protection", Value: "on"})
	}
	return append(pairs,
		term.Pair{Name: "created", Value: stamp(acc.GetCreateTime())},
		term.Pair{Name: "ends", Value: stamp(acc.GetPurgeTime())})
}

// splitName splits a full name into its parent's and its own id.
func splitName(name string) (parent, id string) {
	id = lastSegment(name)
	rest := name[:len(name)-len(id)-1] // without the slash
	collection := lastSegment(rest)
	if len(rest) == len(collection) {
		return "", id
	}
	return rest[:len(rest)-len(collection)-1], id
}
