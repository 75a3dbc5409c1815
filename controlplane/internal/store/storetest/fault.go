// Package storetest is the conformance suite of the store, and an etcd that
// fails on demand: before it applies a transaction, or after.
package storetest

import (
	"context"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// Fault is what goes wrong with one transaction.
type Fault int

// The faults.
const (
	NotApplied Fault = iota // an error, and etcd did not take it
	Applied                 // an error, but etcd took it
	None                    // nothing
)

// KV is a clientv3.KV whose writing transactions fail as planned.
type KV struct {
	clientv3.KV

	mu     sync.Mutex
	faults []Fault // what happens to the next transactions; guarded by mu
	before func()  // runs once before the next transaction; guarded by mu
}

// Fail plans what happens to the next transactions.
func (k *KV) Fail(faults ...Fault) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.faults = faults
}

// Before runs f once, just before the next transaction goes to etcd.
func (k *KV) Before(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.before = f
}

// Txn implements clientv3.KV.
func (k *KV) Txn(ctx context.Context) clientv3.Txn {
	return &faultyTxn{kv: k, txn: k.KV.Txn(ctx)}
}

func (k *KV) next() (fault Fault, planned bool, before func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before, k.before = k.before, nil
	if len(k.faults) == 0 {
		return 0, false, before
	}
	fault, k.faults = k.faults[0], k.faults[1:]
	return fault, true, before
}

type faultyTxn struct {
	kv     *KV
	txn    clientv3.Txn
	writes bool
}

// If implements clientv3.Txn.
func (t *faultyTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	t.txn = t.txn.If(cs...)
	t.writes = t.writes || len(cs) > 0
	return t
}

// Then implements clientv3.Txn.
func (t *faultyTxn) Then(ops ...clientv3.Op) clientv3.Txn { t.txn = t.txn.Then(ops...); return t }

// Else implements clientv3.Txn.
func (t *faultyTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.txn = t.txn.Else(ops...); return t }

// Commit implements clientv3.Txn.
func (t *faultyTxn) Commit() (*clientv3.TxnResponse, error) {
	if !t.writes {
		return t.txn.Commit()
	}
	fault, planned, before := t.kv.next()
	if before != nil {
		before()
	}
	if planned && fault == NotApplied {
		return nil, rpctypes.ErrTimeout
	}
	resp, err := t.txn.Commit()
	if planned && fault == Applied && err == nil {
		return nil, rpctypes.ErrTimeout
	}
	return resp, err
}
