package fleet

import (
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// chunk is how many keys one read names; etcd allows 128 operations by default.
const chunk = 100

// readOperator returns the operator's JWT and the store's revision, read
// linearizably.
func (s *Service) readOperator(ctx context.Context) (string, int64, error) {
	got, err := s.etcd.Get(ctx, operatorKey)
	if err != nil {
		return "", 0, s.unavailable(ctx, "read operator", err)
	}
	if len(got.Kvs) == 0 {
		return "", got.Header.GetRevision(), nil
	}
	return string(got.Kvs[0].Value), got.Header.GetRevision(), nil
}

// catchUp compares accounts with the store and sends what differs from what the
// broker has. It returns a revision up to which the broker then has everything
// of these accounts: that of the first read. Later changes are in the queue,
// because the feed knew the accounts before catchUp began.
func (ses *session) catchUp(ctx context.Context, accounts []string) (int64, error) {
	first := int64(0)
	for part := range slices.Chunk(accounts, chunk) {
		stale, readAt, err := ses.stale(ctx, part)
		if err != nil {
			return 0, err
		}
		if first == 0 {
			first = readAt
		}
		if err := ses.sendCurrent(ctx, stale); err != nil {
			return 0, err
		}
	}
	if first == 0 { // nothing is held
		_, revision, err := ses.service.readOperator(ctx)
		return revision, err
	}
	return first, nil
}

// stale returns which of the accounts the broker has otherwise than the store.
func (ses *session) stale(ctx context.Context, accounts []string) ([]string, int64, error) {
	got, err := ses.readEach(ctx, accounts, clientv3.WithKeysOnly())
	if err != nil {
		return nil, 0, err
	}
	var stale []string
	ses.mu.Lock()
	defer ses.mu.Unlock()
	for i, account := range accounts {
		has, held := ses.held[account]
		kvs := got.Responses[i].GetResponseRange().Kvs
		if held && (len(kvs) == 0 || kvs[0].ModRevision != has) {
			stale = append(stale, account)
		}
	}
	return stale, got.Header.GetRevision(), nil
}

func (ses *session) sendCurrent(ctx context.Context, accounts []string) error {
	if len(accounts) == 0 {
		return nil
	}
	got, err := ses.readEach(ctx, accounts)
	if err != nil {
		return err
	}
	for i, account := range accounts {
		kvs := got.Responses[i].GetResponseRange().Kvs
		c := claims{revision: got.Header.GetRevision()}
		if len(kvs) == 1 {
			c = claims{jwt: string(kvs[0].Value), revision: kvs[0].ModRevision}
		}
		if err := ses.sendClaims(account, c, true); err != nil {
			return err
		}
	}
	return nil
}

func (ses *session) readEach(ctx context.Context, accounts []string, opts ...clientv3.OpOption) (*clientv3.TxnResponse, error) {
	ops := make([]clientv3.Op, len(accounts))
	for i, account := range accounts {
		ops[i] = clientv3.OpGet(claimsPrefix+account, opts...)
	}
	got, err := ses.service.etcd.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return nil, ses.service.unavailable(ctx, "read claims", fmt.Errorf("read held accounts: %w", err))
	}
	return got, nil
}
