// Package store keeps the control plane's truth in etcd.
//
// Every change is one etcd transaction: the resources, their index entries,
// the account's signed claims, the operation, the audit entry and the record
// of the request commit together or not at all. A change is a function over a
// Tx; it may run more than once, because a transaction whose reads were
// overtaken runs again.
//
// The tenant predicate lives here: every View and every Tx is bound to one
// organization, all its keys carry that organization, and a Scope that does
// not cover the organization finds nothing in it.
//
// The store knows keys, records and revisions. It decides nothing about them
// and signs nothing. A Store may be used from many goroutines.
package store

import (
	"hash/fnv"
	"log/slog"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/internal/errs"
)

const stripeCount = 64 // organizations that change at the same time in one process without waiting

// Store is the control plane's store over one etcd.
type Store struct {
	// Immutable after New.
	kv      clientv3.KV
	lease   clientv3.Lease
	log     *slog.Logger
	now     func() time.Time
	stripes [stripeCount]chan struct{} // one slot each: changes of one organization take turns here

	fence   atomic.Int64  // revision of the store's schema record; a change commits only while it is there
	named   requestLeases // of requests whose ids their callers chose
	unnamed requestLeases // of the others
	bearers bearers
}

// New returns a store over an etcd.
func New(kv clientv3.KV, lease clientv3.Lease, log *slog.Logger) *Store {
	s := &Store{
		kv: kv, lease: lease, log: log.With("component", "store"), now: time.Now,
		named:   requestLeases{named: true, kept: namedKept, shared: namedShared},
		unnamed: requestLeases{kept: unnamedKept, shared: unnamedShared},
	}
	for i := range s.stripes {
		s.stripes[i] = make(chan struct{}, 1)
	}
	return s
}

// WithClock makes changes take their time from another clock than this machine's.
// It is called before anything else, and returns s.
func (s *Store) WithClock(now func() time.Time) *Store {
	s.now = now
	return s
}

func (s *Store) stripe(org string) chan struct{} {
	h := fnv.New32a()
	_, _ = h.Write([]byte(org))
	return s.stripes[h.Sum32()%stripeCount]
}

// ErrNotFound means that there is no such resource, or none that the scope
// covers: the two are never told apart.
var ErrNotFound = errs.New(errs.NotFound, "RESOURCE_NOT_FOUND", "there is no such resource")

// ErrExists means that the name is taken.
var ErrExists = errs.New(errs.Exists, "RESOURCE_EXISTS", "the name is taken")

// Scope is whose data a caller may reach.
type Scope struct {
	organization string
	all          bool
}

// Tenant returns the scope of one organization.
func Tenant(organization string) Scope { return Scope{organization: organization} }

// Everything returns the scope of the operator.
func Everything() Scope { return Scope{all: true} }

// Covers reports whether the scope reaches into the organization.
func (s Scope) Covers(organization string) bool {
	return s.all || s.organization != "" && s.organization == organization
}
