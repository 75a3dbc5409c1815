package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/audit"
	"github.com/coveymq/covey/internal/errs"
	"github.com/coveymq/covey/internal/lifecycle"
)

const (
	retryAfter     = time.Second            // what callers are told when the store is not there
	attemptsMax    = 20                     // tries of one change; contention between processes only
	commitTimeout  = 5 * time.Second        // of one try at etcd
	conflictPause  = 2 * time.Millisecond   // first pause after a conflict
	conflictPauses = 250 * time.Millisecond // longest
)

// Change says who changes what, and how often it may be asked for.
type Change struct {
	Scope        Scope
	Organization string // "" is the installation itself
	Actor        string // the API key's id, or "system"
	Method       string
	Target       string // the resource's name
	Reason       string // for the audit log
	RequestID    string // the caller's; made up when empty
	Fingerprint  []byte // hash of the request; the same id with another one is refused
	DryRun       bool   // all checks, no write

	Refusals []audit.Refusal // what the entry tells, if it tells of no change
}

// Outcome is what a replay of the request gets instead of a second change.
type Outcome struct {
	Response []byte // the first answer, without secrets
	Secret   bool   // there were secrets in it
}

// Result tells of a change that was made.
type Result struct {
	Revision int64 // the etcd revision of the change; 0 for a dry run
	Replayed bool  // it was made by an earlier call with the same request id
	Outcome  Outcome
}

// ErrRequestReused means that a request id came back with another request.
var ErrRequestReused = errs.New(errs.Conflict, "REQUEST_ID_REUSED", "this request_id belongs to another request").
	WithField("request_id").WithNext("use a new request_id for every new request")

var errContended = errs.New(errs.Conflict, "CONTENDED", "too many changes at the same time").WithRetry(retryAfter)

// Update makes one change. The function reads and writes through its Tx, may
// run more than once, and returns what its caller needs beside the outcome
// that is kept for replays. After a timeout that leaves open whether etcd took
// the change, the same request is tried again under the same id, so that it
// is made once at most.
func Update[T any](ctx context.Context, s *Store, c Change, change func(ctx context.Context, tx *Tx) (T, Outcome, error)) (T, Result, error) {
	var zero T
	if !c.Scope.Covers(c.Organization) {
		return zero, Result{}, ErrNotFound
	}
	u := &update[T]{store: s, change: c, run: change, made: map[string]made[T]{}, leases: &s.named}
	if c.RequestID == "" {
		u.change.RequestID, u.leases = accounts.NewUID(accounts.PrefixRequest, time.Now()), &s.unnamed
	}
	release, err := s.takeTurn(ctx, c.Organization)
	if err != nil {
		return zero, Result{}, err
	}
	defer release()
	return u.do(ctx)
}

func (s *Store) takeTurn(ctx context.Context, organization string) (func(), error) {
	stripe := s.stripe(organization)
	select {
	case stripe <- struct{}{}:
		return func() { <-stripe }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for other changes: %w", ctx.Err())
	}
}

// update is one call of Update.
type update[T any] struct {
	store  *Store
	change Change
	run    func(context.Context, *Tx) (T, Outcome, error)
	made   map[string]made[T] // what each try made, by its id: one of them may turn out to be in force
	leases *requestLeases
	tries  int
}

type made[T any] struct {
	value   T
	outcome Outcome
}

func (u *update[T]) do(ctx context.Context) (T, Result, error) {
	var zero T
	backoff := lifecycle.Backoff{Min: conflictPause, Max: conflictPauses}
	var unknown error // a try whose outcome is open
	for range attemptsMax {
		value, result, done, err := u.try(ctx)
		if done {
			return value, result, err
		}
		if err != nil {
			unknown = err
		}
		if backoff.Wait(ctx) != nil {
			break
		}
	}
	if unknown != nil {
		return zero, Result{}, errs.New(errs.Unavailable, "UNKNOWN_OUTCOME", "the change may or may not have been made").
			WithNext("repeat the call with the same request_id").WithRetry(retryAfter).WithCause(unknown)
	}
	if ctx.Err() != nil {
		return zero, Result{}, fmt.Errorf("retry change: %w", ctx.Err())
	}
	return zero, Result{}, errContended
}

// try makes the change once. done is false after a conflict (no error) and
// when it is open whether etcd took it (an error).
func (u *update[T]) try(ctx context.Context) (value T, result Result, done bool, err error) {
	tx := &Tx{View: u.store.newView(u.change.Organization), Now: u.store.now().UTC().Truncate(time.Second), Again: u.tries > 0}
	u.tries++
	key := requestKey(u.change.Actor, u.change.RequestID)
	switch earlier, err := tx.earlier(ctx, key); {
	case err == nil:
		value, result, err := u.replay(earlier)
		return value, result, true, err
	case !isNotFound(err):
		// Only a try that failed while committing may have been applied.
		return value, Result{}, len(u.made) == 0, err
	}
	if !u.change.DryRun {
		tx.limit = writesMax
	}
	value, outcome, err := u.run(ctx, tx)
	tx.limit = 0
	if err != nil || u.change.DryRun {
		return value, Result{Outcome: outcome}, true, err
	}
	attempt := accounts.NewUID(accounts.PrefixRequest, time.Now())
	lease, err := u.leases.current(ctx, u.store.lease)
	if err != nil {
		return value, Result{}, true, err
	}
	if err := tx.appendAudit(ctx, u.change); err != nil {
		return value, Result{}, true, err
	}
	request := requestRecord{Attempt: attempt}
	if u.leases.named { // nobody else knows the others' ids, so nobody can ask again
		request.Method, request.Fingerprint, request.Outcome = u.change.Method, u.change.Fingerprint, outcome
	}
	if err := tx.put(key, request, clientv3.WithLease(lease)); err != nil {
		return value, Result{}, true, err
	}
	u.made[attempt] = made[T]{value, outcome}
	// A caller that hangs up must not leave it open whether etcd took the change.
	commitCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	revision, ok, err := tx.commit(commitCtx)
	switch {
	case err != nil && refused(err):
		u.leases.forget(err)
		return value, Result{}, true, unavailable("commit", err)
	case err != nil:
		return value, Result{}, false, err
	case !ok:
		if err := u.store.checkFence(ctx); errs.CodeOf(err) == errs.Precondition {
			return value, Result{}, true, err
		}
		return value, Result{}, false, nil
	}
	return value, Result{Revision: revision, Outcome: outcome}, true, nil
}

// earlier reads the record of a request, and with it what every change reads.
func (t *Tx) earlier(ctx context.Context, key string) (r requestRecord, err error) {
	all := []wanted{{key: key}, {key: t.auditHeadKey()}}
	if t.org != "" { // whether it may change anything, and within what
		all = append(all, wanted{key: t.orgKey("self")}, wanted{key: t.orgKey("terms")})
	}
	if err := t.ahead(ctx, all...); err != nil {
		return r, err
	}
	return r, t.load(ctx, key, &r)
}

// replay answers from the record of an earlier try: our own, whose outcome was
// open, or an earlier call's.
func (u *update[T]) replay(earlier requestRecord) (T, Result, error) {
	if m, ours := u.made[earlier.Attempt]; ours {
		return m.value, Result{Revision: earlier.Revision, Outcome: m.outcome}, nil
	}
	var zero T
	if earlier.Method != u.change.Method || !bytes.Equal(earlier.Fingerprint, u.change.Fingerprint) {
		return zero, Result{}, ErrRequestReused
	}
	return zero, Result{Revision: earlier.Revision, Replayed: true, Outcome: earlier.Outcome}, nil
}

// refused reports whether etcd said for certain that it did not take the
// transaction.
func refused(err error) bool {
	for _, sure := range []error{
		rpctypes.ErrNoSpace, rpctypes.ErrTooManyOps, rpctypes.ErrDuplicateKey, rpctypes.ErrRequestTooLarge,
		rpctypes.ErrLeaseNotFound, rpctypes.ErrTooManyRequests, rpctypes.ErrPermissionDenied,
	} {
		if errors.Is(err, sure) {
			return true
		}
	}
	return false
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
