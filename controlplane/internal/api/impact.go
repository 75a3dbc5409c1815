package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/controlplane/internal/tenancy"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// What an impact lists at most of each kind.
const (
	impactNames    = 100
	impactAccounts = 200
)

// ConnectionSelection is whose connections are counted: those of users of an
// account and those whose JWTs keys have signed, or all without either.
type ConnectionSelection struct {
	Account        string // its public key
	Users, Issuers []string
}

// ConnectionCount is how many connections brokers say that selections have.
type ConnectionCount struct {
	Connections       []int64  // of each selection
	Answered, Missing []string // brokers
}

// Counter asks brokers for connections.
type Counter interface {
	// CountConnections asks all brokers that are there, and names those that did not
	// answer in time.
	CountConnections(ctx context.Context, of []ConnectionSelection) (ConnectionCount, error)
}

// touched is whom a change would touch, as far as the store tells. The zero value
// is nobody.
type touched struct {
	clients     []clients
	short       bool     // of more accounts than clients has
	credentials []string // names
	unknown     bool     // there are too many accounts to look at all credentials
	apiKeys     []string // names
	dependents  []string // names
}

// clients are connections that may end.
type clients struct {
	ConnectionSelection

	name  string // of the account
	limit *int64 // how many may stay; nil: none do
}

// preview is write that says of a dry run whom the change would touch. touches is
// asked in the same transaction, which shows what is there before the change.
func preview[T any, R response[T]](ctx context.Context, s *Server, req writeRequest, organization string,
	change func(ctx context.Context, tx *store.Tx) (R, error), touches func(ctx context.Context, tx *store.Tx) (touched, error),
) (R, error) {
	var t touched
	resp, err := write(ctx, s, req, organization, func(ctx context.Context, tx *store.Tx) (R, error) {
		resp, err := change(ctx, tx)
		if err == nil && req.GetValidateOnly() {
			t, err = touches(ctx, tx)
		}
		return resp, err
	})
	if err != nil || !req.GetValidateOnly() {
		return resp, err
	}
	impact, err := s.impact(ctx, t)
	if err != nil {
		return nil, err
	}
	m := resp.ProtoReflect()
	m.Set(m.Descriptor().Fields().ByName("impact"), protoreflect.ValueOfMessage(impact.ProtoReflect()))
	return resp, nil
}

// impact asks the brokers about the clients that a change would touch, and says
// all that is known of it.
func (s *Server) impact(ctx context.Context, t touched) (*apiv1.Impact, error) {
	out := &apiv1.Impact{Incomplete: t.short, ApiKeys: t.apiKeys, Dependents: firstNames(t.dependents), CredentialNames: firstNames(t.credentials)}
	if !t.unknown {
		n := int64(len(t.credentials))
		out.Credentials = &n
	}
	if len(t.clients) == 0 {
		return out, nil
	}
	of := make([]ConnectionSelection, len(t.clients))
	for i, c := range t.clients {
		of[i] = c.ConnectionSelection
	}
	n, err := s.counter.CountConnections(ctx, of)
	if err != nil {
		return nil, fmt.Errorf("count connections: %w", err)
	}
	for i, c := range t.clients {
		ended := n.Connections[i]
		if c.limit != nil {
			ended = max(ended-*c.limit, 0)
		}
		out.Connections += ended
		if len(t.clients) > 1 && ended > 0 {
			out.Accounts = append(out.Accounts, &apiv1.AccountImpact{Account: c.name, Connections: ended, Limit: c.limit})
		}
	}
	slices.SortStableFunc(out.GetAccounts(), func(a, b *apiv1.AccountImpact) int { return cmp.Compare(b.GetConnections(), a.GetConnections()) })
	out.Accounts = out.GetAccounts()[:min(len(out.GetAccounts()), impactAccounts)]
	out.BrokersCounted = int64(len(n.Answered))
	return out, s.nameUncounted(ctx, out, n)
}

// nameUncounted says whose connections an impact leaves out.
func (s *Server) nameUncounted(ctx context.Context, out *apiv1.Impact, n ConnectionCount) error {
	known, err := s.fleet.Brokers(ctx)
	if err != nil {
		return fmt.Errorf("read brokers: %w", err)
	}
	late := map[string]bool{}
	for _, id := range n.Missing {
		late[id] = true
	}
	var missing []*apiv1.UncountedBroker
	for _, b := range known {
		why := uncounted(b, late[b.ID], time.Now())
		delete(late, b.ID)
		if why != "" && !slices.Contains(n.Answered, b.ID) {
			missing = append(missing, &apiv1.UncountedBroker{Broker: b.ID, DisplayName: b.ServerName, Reason: why})
		}
	}
	for _, id := range n.Missing {
		if late[id] { // it is newer than what is known of the fleet
			missing = append(missing, &apiv1.UncountedBroker{Broker: id, Reason: reasonLate})
		}
	}
	out.BrokersMissing = int64(len(missing))
	out.Incomplete = out.GetIncomplete() || len(missing) > 0
	out.UncountedBrokers = missing[:min(len(missing), impactNames)]
	return nil
}

const (
	reasonLate = "it did not answer in time"
	reasonAway = "it is out of reach, and may have clients"
)

// uncounted says why the clients of a broker that did not answer are not counted;
// "" if it can have none.
func uncounted(b operation.Broker, late bool, now time.Time) string {
	switch {
	case b.Stock:
		return "a stock nats-server is not asked"
	case late:
		return reasonLate
	case b.Exited || b.Leased || !now.Before(b.ServeUntil):
		return "" // one with a lease that was not asked has just come
	}
	return reasonAway
}

func firstNames(all []string) []string { return all[:min(len(all), impactNames)] }

// overLimits are the clients of accounts that a change of a plan or an override
// would leave with fewer connections than they may have now.
func overLimits(i tenancy.Impacts) touched {
	t := touched{short: i.LimitedMore}
	for _, l := range i.Limited {
		t.clients = append(t.clients, clients{
			ConnectionSelection: ConnectionSelection{Account: l.PublicKey}, name: tenancy.AccountName(l.Organization, l.Account), limit: &l.Connections,
		})
	}
	return t
}
