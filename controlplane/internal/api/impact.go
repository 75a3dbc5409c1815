package api

import (
	"context"
	"fmt"

	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

// ConnectionCount is how many connections brokers say that something has.
type ConnectionCount struct {
	Connections       int64
	Answered, Missing int // brokers
}

// Counter asks brokers for connections.
type Counter interface {
	// CountConnections counts those of an account, or of one user of it if that is
	// not empty.
	CountConnections(ctx context.Context, account, user string) (ConnectionCount, error)
}

// impact counts the connections of an account, or of one user of it, that would
// end if only so many might stay.
func (s *Server) impact(ctx context.Context, account, user string, stay int64) (*apiv1.Impact, error) {
	n, err := s.counter.CountConnections(ctx, account, user)
	if err != nil {
		return nil, fmt.Errorf("count connections: %w", err)
	}
	return &apiv1.Impact{
		Connections: max(n.Connections-stay, 0), BrokersCounted: int64(n.Answered), BrokersMissing: int64(n.Missing),
	}, nil
}
