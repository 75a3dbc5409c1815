package fleet

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nkeys"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

// lookupTimeout bounds one read of the store for lookups.
const lookupTimeout = 4 * time.Second

// LookupAccount reads one account's claims for an attending broker, which holds
// the account from before the read on: what changes later comes by the stream.
func (s *Service) LookupAccount(ctx context.Context, req *fleetv1.LookupAccountRequest) (*fleetv1.LookupAccountResponse, error) {
	account := req.GetAccountPublicKey()
	if !nkeys.IsValidPublicAccountKey(account) {
		return nil, status.Error(codes.InvalidArgument, "account_public_key: not an account public key")
	}
	broker, _ := BrokerID(ctx)
	ses := s.session(broker)
	if ses == nil {
		return nil, errNotAttend
	}
	before := ses.holds(account)
	if !ses.hold(false, account) {
		return nil, errTooMany
	}
	c, err := s.lookup(ctx, account, ses.watermark.Load())
	if err != nil {
		return nil, err
	}
	if c.jwt == "" {
		if !before {
			ses.unhold(account)
		}
		return nil, status.Errorf(codes.NotFound, "no account %s", account)
	}
	return &fleetv1.LookupAccountResponse{Claims: &fleetv1.AccountClaims{
		AccountPublicKey: account, Jwt: c.jwt, Revision: c.revision,
	}}, nil
}

// lookup returns claims that are current at atLeast and at the revision that the
// feed has reached. Calls share a read only if it began when the store was known
// to be that far; its empty jwt says that there is no such account.
func (s *Service) lookup(ctx context.Context, account string, atLeast int64) (claims, error) {
	atLeast = max(atLeast, s.feed.position())
	if c, ok := s.feed.recall(account, atLeast); ok {
		return c, nil
	}
	shared := s.lookups.DoChan(account+"@"+strconv.FormatInt(atLeast, 10), func() (any, error) {
		return s.readClaims(context.WithoutCancel(ctx), account)
	})
	select {
	case <-ctx.Done():
		return claims{}, status.FromContextError(ctx.Err()).Err()
	case r := <-shared:
		if r.Err != nil {
			return claims{}, s.unavailable(ctx, "look up account", r.Err)
		}
		c, ok := r.Val.(claims)
		if !ok {
			return claims{}, s.internal(ctx, "look up account", fmt.Errorf("unexpected %T", r.Val))
		}
		return c, nil
	}
}

func (s *Service) readClaims(ctx context.Context, account string) (claims, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	got, err := s.etcd.Get(ctx, claimsPrefix+account)
	if err != nil {
		return claims{}, fmt.Errorf("read claims: %w", err)
	}
	if len(got.Kvs) == 0 {
		return claims{revision: got.Header.GetRevision()}, nil
	}
	c := claims{jwt: string(got.Kvs[0].Value), revision: got.Kvs[0].ModRevision}
	s.feed.remember(account, c, got.Header.GetRevision())
	return c, nil
}
