package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

const brokerArg = "BROKER"

func (a *App) adminBroker() *cobra.Command {
	cmd := &cobra.Command{Use: "broker", Short: "See the fleet and steer it"}
	cmd.AddCommand(a.brokerList(), a.brokerGet(), a.brokerJoinToken(),
		a.brokerChange("drain", "Have a broker take no new clients and let go of those it has",
			"The broker stays in the fleet. Clients go within half a minute, and their libraries connect to another broker of the cluster.",
			func(ctx context.Context, s *session, name, reason, id string, dry bool) (*adminv1.Broker, error) {
				r, err := adminv1.NewBrokerServiceClient(s).DrainBroker(ctx, &adminv1.DrainBrokerRequest{Name: name, Reason: reason, RequestId: id, ValidateOnly: dry})
				return r.GetBroker(), err
			}),
		a.brokerChange("undrain", "Have a broker take clients again", "",
			func(ctx context.Context, s *session, name, reason, id string, dry bool) (*adminv1.Broker, error) {
				r, err := adminv1.NewBrokerServiceClient(s).UndrainBroker(ctx, &adminv1.UndrainBrokerRequest{Name: name, Reason: reason, RequestId: id, ValidateOnly: dry})
				return r.GetBroker(), err
			}),
		a.brokerChange("revoke", "Refuse a broker's certificates, at once and for good",
			"Every control plane refuses it. It is told to let its clients go; one that does not listen serves what it knows until its serve-until time, and\noperations are not done before then. To have the machine back, stop it, empty its state directory and give it a new join token.",
			func(ctx context.Context, s *session, name, reason, id string, dry bool) (*adminv1.Broker, error) {
				r, err := adminv1.NewBrokerServiceClient(s).RevokeBroker(ctx, &adminv1.RevokeBrokerRequest{Name: name, Reason: reason, RequestId: id, ValidateOnly: dry})
				return r.GetBroker(), err
			}),
	)
	return cmd
}

func (a *App) brokerList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all brokers that are known", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSession(func(s *session) error {
				r, err := adminv1.NewBrokerServiceClient(s).ListBrokers(cmd.Context(), &adminv1.ListBrokersRequest{})
				if err != nil {
					return err
				}
				header := []string{"BROKER", "NAME", "STATE", "VERSION", "CONNECTIONS", "ACCOUNTS", "ACKNOWLEDGED", "LAST CONTACT"}
				return showList(a, "brokers", r.GetBrokers(), header, func(b *adminv1.Broker) []string {
					return []string{
						brokerID(b), b.GetServerName(), brokerState(b), orElse(b.GetVersion(), "-"), strconv.FormatInt(b.GetConnections(), 10),
						strconv.FormatInt(b.GetAccounts(), 10), strconv.FormatInt(b.GetAcknowledgedRevision(), 10), atOrNever(b.GetLastContactTime()),
					}
				})
			})
		},
	}
}

func (a *App) brokerGet() *cobra.Command {
	return &cobra.Command{
		Use: "get BROKER", Short: "Show one broker", Args: term.Exactly(brokerArg),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSession(func(s *session) error {
				name, err := brokerName(cmd.Context(), s, args[0])
				if err != nil {
					return err
				}
				r, err := adminv1.NewBrokerServiceClient(s).GetBroker(cmd.Context(), &adminv1.GetBrokerRequest{Name: name})
				if err != nil {
					return err
				}
				return a.showBroker(r.GetBroker())
			})
		},
	}
}

// brokerChange is a command that wants something of a broker.
func (a *App) brokerChange(verb, short, long string, call func(ctx context.Context, s *session, name, reason, id string, dry bool) (*adminv1.Broker, error)) *cobra.Command {
	var reason, id string
	var dry bool
	cmd := &cobra.Command{
		Use: verb + " " + brokerArg, Short: short, Long: strings.TrimSpace(short + ".\n" + long), Args: term.Exactly(brokerArg),
		Example: "  covey admin broker " + verb + " nats-3 --reason 'new kernel'",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSession(func(s *session) error {
				name, err := brokerName(cmd.Context(), s, args[0])
				if err != nil {
					return err
				}
				b, err := call(cmd.Context(), s, name, reason, id, dry)
				if err != nil {
					return err
				}
				return a.showBroker(b)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	cmd.Flags().StringVar(&id, "request-id", "", "the same id with the same request is carried out once")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check everything and change nothing")
	return cmd
}

// brokerName finds the resource name of a broker that is named by its id or by
// the name that people gave it.
func brokerName(ctx context.Context, s *session, text string) (string, error) {
	if strings.HasPrefix(text, "brk_") {
		return "brokers/" + text, nil
	}
	r, err := adminv1.NewBrokerServiceClient(s).ListBrokers(ctx, &adminv1.ListBrokersRequest{})
	if err != nil {
		return "", err
	}
	var found []string
	for _, b := range r.GetBrokers() {
		if b.GetServerName() == text && b.GetState() != adminv1.Broker_STATE_GONE {
			found = append(found, b.GetName())
		}
	}
	switch len(found) {
	case 0:
		return "", term.Failf("covey admin broker list shows all of them", "no broker is called %q, or it is gone", text)
	case 1:
		return found[0], nil
	}
	return "", term.Failf("name one by its id", "%d brokers are called %q", len(found), text)
}

func (a *App) showBroker(b *adminv1.Broker) error {
	return a.show(b,
		term.Pair{Name: "broker", Value: brokerID(b)}, term.Pair{Name: "name", Value: b.GetServerName()},
		term.Pair{Name: "state", Value: brokerState(b)}, term.Pair{Name: "version", Value: orElse(b.GetVersion(), "-")},
		term.Pair{Name: "connections", Value: strconv.FormatInt(b.GetConnections(), 10)},
		term.Pair{Name: "accounts", Value: strconv.FormatInt(b.GetAccounts(), 10)},
		term.Pair{Name: "acknowledged", Value: strconv.FormatInt(b.GetAcknowledgedRevision(), 10)},
		term.Pair{Name: "last contact", Value: atOrNever(b.GetLastContactTime())},
		term.Pair{Name: "serves until", Value: atOrNever(b.GetServeUntilTime())},
	)
}

func brokerID(b *adminv1.Broker) string { return strings.TrimPrefix(b.GetName(), "brokers/") }

func brokerState(b *adminv1.Broker) string {
	return strings.ToLower(strings.TrimPrefix(b.GetState().String(), "STATE_"))
}

func atOrNever(t *timestamppb.Timestamp) string {
	if t == nil {
		return "never"
	}
	return t.AsTime().Format(time.RFC3339)
}
