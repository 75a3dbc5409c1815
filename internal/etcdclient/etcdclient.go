// Package etcdclient connects to an etcd cluster elsewhere. Its client asks
// again, elsewhere, when a member does not answer a read: a member that hangs
// costs seconds, not the whole time of a call. Writes are never repeated here,
// because only their caller knows whether that is safe.
package etcdclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/coveymq/covey/internal/errs"
)

const (
	dialTimeout = 5 * time.Second
	// etcd ends connections that are probed more often than every five seconds.
	probeEvery  = 10 * time.Second
	probeWithin = 3 * time.Second
	// A read that takes longer is tried at another member.
	readWithin = 2 * time.Second
	readTries  = 3
	openWithin = 15 * time.Second
)

// Config says where etcd is.
type Config struct {
	Endpoints []string
	TLS       *tls.Config // nil: none
	User      string      // "" is none
	Password  string
}

// ErrNoAnswer means that no member answered in time.
var ErrNoAnswer = errors.New("etcd does not answer")

// Dial returns a client after etcd has answered once.
func Dial(ctx context.Context, cfg Config) (*clientv3.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: cfg.Endpoints, TLS: cfg.TLS, Username: cfg.User, Password: cfg.Password,
		DialTimeout: dialTimeout, DialKeepAliveTime: probeEvery, DialKeepAliveTimeout: probeWithin, PermitWithoutStream: true,
		Logger: zap.NewNop(),
	})
	if err != nil {
		return nil, explain(cfg, err)
	}
	client.KV = &kv{client.KV}
	client.Lease = &lease{client.Lease}
	if _, err := client.Get(ctx, "/covey/", clientv3.WithCountOnly(), clientv3.WithPrefix()); err != nil {
		return nil, errors.Join(explain(cfg, err), client.Close())
	}
	return client, nil
}

func explain(cfg Config, err error) error {
	code := status.Code(err)
	if e := (rpctypes.EtcdError{}); errors.As(err, &e) {
		code = e.Code()
	}
	switch {
	case errors.Is(err, rpctypes.ErrAuthFailed), errors.Is(err, rpctypes.ErrPermissionDenied), errors.Is(err, rpctypes.ErrUserEmpty),
		errors.Is(err, rpctypes.ErrAuthNotEnabled), code == codes.Unauthenticated, code == codes.PermissionDenied:
		return errs.New(errs.Denied, "ETCD_DENIED", "etcd at %v does not let us in", cfg.Endpoints).
			WithNext("check the user and its password, and that its role may read and write keys that begin with /covey/").WithCause(err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("connect etcd: %w", err)
	}
	return errs.New(errs.Unavailable, "ETCD_UNAVAILABLE", "etcd at %v does not answer", cfg.Endpoints).
		WithNext("check the endpoints and the TLS files, and that a majority of the members run").WithCause(err)
}

// kv bounds and repeats reads.
type kv struct{ clientv3.KV }

// Get implements clientv3.KV.
func (k *kv) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	return again(ctx, func(ctx context.Context) (*clientv3.GetResponse, error) { return k.KV.Get(ctx, key, opts...) })
}

// Txn implements clientv3.KV.
func (k *kv) Txn(ctx context.Context) clientv3.Txn { return &txn{kv: k, ctx: ctx, reads: true} }

// txn collects a transaction and repeats it if it only reads.
type txn struct {
	kv        *kv
	ctx       context.Context //nolint:containedctx // as clientv3.KV.Txn has it
	cmps      []clientv3.Cmp
	then, els []clientv3.Op
	reads     bool
}

// If implements clientv3.Txn.
func (t *txn) If(cs ...clientv3.Cmp) clientv3.Txn { t.cmps = append(t.cmps, cs...); return t }

// Then implements clientv3.Txn.
func (t *txn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.then = append(t.then, ops...)
	t.look(ops)
	return t
}

// Else implements clientv3.Txn.
func (t *txn) Else(ops ...clientv3.Op) clientv3.Txn {
	t.els = append(t.els, ops...)
	t.look(ops)
	return t
}

func (t *txn) look(ops []clientv3.Op) {
	for _, op := range ops {
		t.reads = t.reads && op.IsGet()
	}
}

// Commit implements clientv3.Txn.
func (t *txn) Commit() (*clientv3.TxnResponse, error) {
	commit := func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return t.kv.KV.Txn(ctx).If(t.cmps...).Then(t.then...).Else(t.els...).Commit()
	}
	if !t.reads {
		return commit(t.ctx)
	}
	return again(t.ctx, commit)
}

// lease bounds and repeats grants: one whose answer is lost lapses unused.
type lease struct{ clientv3.Lease }

// Grant implements clientv3.Lease.
func (l *lease) Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	return again(ctx, func(ctx context.Context) (*clientv3.LeaseGrantResponse, error) { return l.Lease.Grant(ctx, ttl) })
}

// again tries what may be done twice, until it is answered, refused, or tried
// often enough.
func again[T any](ctx context.Context, try func(context.Context) (T, error)) (T, error) {
	var zero T
	var err error
	for range readTries {
		var out T
		if out, err = once(ctx, try); err == nil {
			return out, nil
		}
		if ctx.Err() != nil || !silent(err) {
			return zero, err
		}
	}
	return zero, fmt.Errorf("%w: %v", ErrNoAnswer, err) //nolint:errorlint // a try's deadline is not the caller's
}

func once[T any](ctx context.Context, try func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	return try(ctx)
}

// silent tells a member that did not answer from one that refused.
func silent(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	code := status.Code(err)
	if e := (rpctypes.EtcdError{}); errors.As(err, &e) {
		code = e.Code()
	}
	return code == codes.Unavailable || code == codes.DeadlineExceeded
}
