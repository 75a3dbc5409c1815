package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/controlplane/internal/audit"
	"github.com/coveymq/covey/internal/errs"
)

// Tx is a change being made: it reads like a View and collects writes, which
// commit in one etcd transaction if nothing that it read has changed. It is
// for one goroutine.
type Tx struct {
	*View
	Now time.Time // when the change is made, whole seconds UTC

	// Again says that an earlier try met something that had changed: what is
	// remembered from before may be old.
	Again bool

	targets []string // what the audit log says was changed; none is what the Change says

	ops       []clientv3.Op
	written   []string // "key=value" of every write, for the audit digest
	operation string   // the operation begun, if one was
	limit     int      // writes that the change may make

	puts  map[string]int   // where in ops are records that may be put again
	terms cached[OrgTerms] // as this change leaves it
	self  cached[Organization]

	newUsers, newAccounts int64 // what this change creates
}

// cached is a record that a change read or put.
type cached[T any] struct {
	value T
	known bool
}

// writesMax is how many writes one change may make; etcd takes 128, and what
// every change leaves behind comes on top.
const writesMax = 120

// ErrFull means that a change makes more writes than one transaction holds. What
// it wrote before is unharmed, and may be committed as a first part.
var ErrFull = errs.New(errs.Exhausted, "CHANGE_TOO_LARGE", "the change touches more than %d records", writesMax).
	WithNext("make it in parts")

// opsMax is how much etcd takes in one transaction, of writes and of comparisons.
const opsMax = 128

// Touches says what the change is about, if it is about several things: each gets
// an audit entry of its own.
func (t *Tx) Touches(targets ...string) { t.targets = targets }

// Fits refuses a change that is too large for one transaction, before etcd does.
func (t *Tx) Fits() error {
	const besides = 2 // the audit log's head, and the record of the request
	if len(t.ops)+max(len(t.targets), 1)+besides > opsMax || len(t.compares())+1 > opsMax {
		return ErrFull
	}
	return nil
}

// Limit lowers how many writes the change may make.
func (t *Tx) Limit(writes int) { t.limit = writes }

// Writes says how many writes the change has made so far.
func (t *Tx) Writes() int { return len(t.ops) }

func (t *Tx) put(key string, value any, opts ...clientv3.OpOption) error {
	if t.limit > 0 && len(t.ops) >= t.limit {
		return ErrFull
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode record %s: %w", key, err)
	}
	marked := mark(text)
	packed, err := pack(key, marked)
	if err != nil {
		return err
	}
	t.ops = append(t.ops, clientv3.OpPut(key, packed, opts...))
	t.written = append(t.written, key+"="+marked)
	return nil
}

// putText puts a text that is no record, as it is.
func (t *Tx) putText(key, text string) {
	t.ops = append(t.ops, clientv3.OpPut(key, text))
	t.written = append(t.written, key+"="+text)
}

func (t *Tx) remove(key string) {
	t.ops = append(t.ops, clientv3.OpDelete(key))
	t.written = append(t.written, key+"-")
}

func (t *Tx) removeAll(prefix string) {
	t.ops = append(t.ops, clientv3.OpDelete(prefix, clientv3.WithPrefix()))
	t.written = append(t.written, prefix+"*-")
}

// create puts a record whose key must be absent.
func (t *Tx) create(ctx context.Context, key string, value any) error {
	taken, err := t.exists(ctx, key)
	if err != nil {
		return err
	}
	if taken {
		return ErrExists
	}
	return t.put(key, value)
}

// appendAudit puts the audit entry of the change, or one for each thing that it is
// about, at the end of the organization's chain.
func (t *Tx) appendAudit(ctx context.Context, c Change) error {
	if err := t.Fits(); err != nil {
		return err
	}
	var head auditHead
	headKey := t.auditHeadKey()
	if err := t.load(ctx, headKey, &head); err != nil && !isNotFound(err) {
		return err
	}
	targets, digest := t.targets, t.digest()
	if len(targets) == 0 {
		targets = []string{c.Target}
	}
	for _, target := range targets {
		entry, next, err := head.Append(audit.Entry{
			Time: t.Now, Actor: c.Actor, Method: c.Method, Target: target, RequestID: c.RequestID,
			Operation: t.operation, Reason: c.Reason, Refusals: c.Refusals, Digest: digest,
		})
		if err != nil {
			return fmt.Errorf("chain audit entry: %w", err)
		}
		head.Head = next
		if err := t.put(auditKey(t.org, entry.Sequence), entry); err != nil {
			return err
		}
	}
	return t.put(headKey, auditHead{Head: head.Head})
}

// digest covers every write made so far, in key order.
func (t *Tx) digest() string {
	h := sha256.New()
	for _, w := range slices.Sorted(slices.Values(t.written)) {
		_, _ = fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// compares says what must still be as it was read.
func (t *Tx) compares() []clientv3.Cmp {
	var cmps []clientv3.Cmp
	for key, revision := range t.keys {
		cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(key), "=", revision))
	}
	for _, prefix := range t.ranges {
		cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(prefix), "<", t.rev+1).WithPrefix())
	}
	return cmps
}

// commit returns the revision of the change; ok is false when something that
// was read has changed.
func (t *Tx) commit(ctx context.Context) (revision int64, ok bool, err error) {
	r, err := t.store.kv.Txn(ctx).If(append(t.compares(), t.store.fenceCompare())...).Then(t.ops...).Commit()
	if err != nil {
		return 0, false, err
	}
	return r.Header.Revision, r.Succeeded, nil
}
