package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/internal/errs"
)

// seenGrain is how exact it is kept when a credential was last seen: one write for
// each in such a time, however often it is seen.
const seenGrain = time.Hour

const (
	seenBatch  = 50 // records written in one transaction; each compares two keys, and etcd takes 128
	issuesKept = 20 // of one key: it is renewed now and then, and older ones are seen no more
)

// Sighting says that a client was connected with a credential.
type Sighting struct {
	Account, User string // public keys
	IssuedAt      int64  // Unix second: which of those that were issued to the key
	Time          time.Time
}

// keySeen is when what was issued to one public user key was last seen, by when it
// was issued; both are Unix seconds.
type keySeen struct {
	Stored
	Issued map[int64]int64 `json:"issued"`
}

// with takes a sighting in. It reports false if that changes nothing that is kept.
func (k *keySeen) with(issued, at int64) bool {
	if have, known := k.Issued[issued]; known && at-have < int64(seenGrain/time.Second) {
		return false
	}
	if k.Issued == nil {
		k.Issued = map[int64]int64{}
	}
	k.Issued[issued] = at
	for len(k.Issued) > issuesKept {
		oldest := issued
		for i := range k.Issued {
			oldest = min(oldest, i)
		}
		delete(k.Issued, oldest)
	}
	return true
}

// seenAt is where sightings of one key of an account go.
type seenAt struct {
	owner, key string // keys in etcd: who has the user key, and what is known of it
	ownerRev   int64
	record     keySeen
	dirty      bool
}

// NoteSeen keeps when credentials were last seen, for at most a few hundred at a
// time. It is no change of a resource: it leaves no audit entry and makes no other
// change conflict. What is of no user stays unknown. It costs a few reads for all
// together, and a write for each key of which there is news. An error may leave some
// of it unwritten; doing it again does no harm.
func (s *Store) NoteSeen(ctx context.Context, sightings []Sighting) error {
	places, err := s.placesOf(ctx, sightings)
	if err != nil {
		return err
	}
	var dirty []*seenAt
	for _, sighting := range sightings {
		at := places[seenKeys{sighting.Account, sighting.User}]
		if at == nil || !at.record.with(sighting.IssuedAt, sighting.Time.Unix()) || at.dirty {
			continue
		}
		at.dirty = true
		dirty = append(dirty, at)
	}
	var all []error
	for part := range slices.Chunk(dirty, seenBatch) {
		all = append(all, s.putSeen(ctx, part))
	}
	return errors.Join(all...)
}

// seenKeys are the public keys of an account and a user.
type seenKeys struct{ account, user string }

// placesOf finds where sightings belong, and reads what is known there.
func (s *Store) placesOf(ctx context.Context, sightings []Sighting) (map[seenKeys]*seenAt, error) {
	v := s.newView("")
	refs := map[string]AccountRef{}
	var keys []string
	for _, sighting := range sightings {
		if _, asked := refs[sighting.Account]; !asked && !strings.Contains(sighting.Account, "/") {
			refs[sighting.Account] = AccountRef{}
			keys = append(keys, accountIndexKey(sighting.Account))
		}
	}
	err := v.batch(ctx, keys, func(key string, value []byte, revision int64) error {
		var ref AccountRef
		err := decode(key, value, revision, &ref)
		refs[ref.PublicKey] = ref
		return err
	})
	if err != nil {
		return nil, err
	}
	owners := map[string]seenKeys{}
	keys = nil
	for _, sighting := range sightings {
		ref := refs[sighting.Account]
		if ref.Organization == "" || !ref.DeleteTime.IsZero() || strings.Contains(sighting.User, "/") {
			continue
		}
		key := s.newView(ref.Organization).orgKey("userkey/%s/%s", ref.Account, sighting.User)
		if _, asked := owners[key]; !asked {
			owners[key] = seenKeys{sighting.Account, sighting.User}
			keys = append(keys, key)
		}
	}
	places, known := map[seenKeys]*seenAt{}, map[string]*seenAt{}
	var records []string
	err = v.batch(ctx, keys, func(key string, value []byte, revision int64) error {
		var owner keyOwner
		who := owners[key]
		ref := refs[who.account]
		err := decode(key, value, revision, &owner)
		at := &seenAt{owner: key, ownerRev: revision, key: s.newView(ref.Organization).seenPrefix(ref.Account, owner.User) + who.user}
		places[who], known[at.key] = at, at
		records = append(records, at.key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return places, v.batch(ctx, records, func(key string, value []byte, revision int64) error {
		return decode(key, value, revision, &known[key].record)
	})
}

// errSeenMeanwhile means that another control plane wrote at the same time, or that
// somebody lost a key.
var errSeenMeanwhile = errs.New(errs.Conflict, "CONTENDED", "what is known of credentials seen changed meanwhile").WithRetry(retryAfter)

func (s *Store) putSeen(ctx context.Context, part []*seenAt) error {
	t := &Tx{View: s.newView("")}
	var as []clientv3.Cmp
	for _, at := range part {
		if err := t.put(at.key, at.record); err != nil {
			return err
		}
		as = append(as, clientv3.Compare(clientv3.ModRevision(at.owner), "=", at.ownerRev),
			clientv3.Compare(clientv3.ModRevision(at.key), "=", at.record.Revision))
	}
	r, err := s.kv.Txn(ctx).If(append(as, s.fenceCompare())...).Then(t.ops...).Commit()
	switch {
	case err != nil:
		return unavailable("note credentials seen", err)
	case !r.Succeeded:
		return errSeenMeanwhile
	}
	return nil
}

func (v *View) seenPrefix(account, user string) string { return v.orgKey("seen/%s/%s/", account, user) }

// markSeen puts into credentials of one user when each was last seen.
func (v *View) markSeen(ctx context.Context, account, user string, list []Credential) error {
	if len(list) == 0 {
		return nil
	}
	prefix := v.seenPrefix(account, user)
	r, err := v.read(ctx, prefix, clientv3.WithPrefix(), clientv3.WithLimit(pageSizeMax))
	if err != nil {
		return unavailable("read", err)
	}
	known := make(map[string]map[int64]int64, len(r.Kvs))
	for _, kv := range r.Kvs {
		var k keySeen
		if err := decode(string(kv.Key), kv.Value, kv.ModRevision, &k); err != nil {
			return err
		}
		known[strings.TrimPrefix(string(kv.Key), prefix)] = k.Issued
	}
	for i, c := range list {
		if at, seen := known[c.PublicKey][c.IssueTime.Unix()]; seen {
			list[i].SeenTime = time.Unix(at, 0).UTC()
		}
	}
	return nil
}
