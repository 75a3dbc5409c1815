package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/accounts"
)

// Reseal opens a secret that is sealed for one row and seals it for another.
type Reseal func(ctx context.Context, from, to string, sealed []byte) ([]byte, error)

const (
	migratePage = 500 // records read in one go
	migrateRuns = 20  // passes over the store; each after the first was overtaken by another control plane
)

// errOvertaken means that a record changed between its read and its write.
var errOvertaken = errors.New("record was changed meanwhile")

// migration brings all records from an older version to SchemaVersion. Its
// steps look at what a record is, not at what its number says: one that was cut
// short, or that another control plane is making as well, goes on where it is.
type migration struct {
	store  *Store
	reseal Reseal
}

// step brings the store from the version before to a version.
type step struct {
	to  int
	run func(context.Context, *migration) error
}

// steps are in order, one for each version after the first.
func steps() []step {
	return []step{{to: 2, run: toTwo}, {to: 3, run: toThree}, {to: 4, run: toFour}, {to: 5, run: toFive}, {to: 6, run: toSix}, {to: 7, run: toSeven}}
}

// toFour: records are packed. Those that are there stay as they are until they
// change, because their revisions mean something: they are etags, and tell what
// brokers acknowledged.
func toFour(context.Context, *migration) error { return nil }

// toFive: accounts, roles and users may carry claims that were made elsewhere.
// There are none yet; a program that does not know of them would drop them.
func toFive(context.Context, *migration) error { return nil }

// toSix: another key of the operator may sign accounts than when a control plane
// started. A program that does not know of it would go on with the one it has.
func toSix(context.Context, *migration) error { return nil }

func (m *migration) run(ctx context.Context, from int) error {
	for _, s := range steps() {
		if s.to <= from {
			continue
		}
		if err := m.repeat(ctx, s); err != nil {
			return fmt.Errorf("step to %d: %w", s.to, err)
		}
	}
	return nil
}

func (m *migration) repeat(ctx context.Context, s step) (err error) {
	for range migrateRuns {
		if err = s.run(ctx, m); !errors.Is(err, errOvertaken) {
			return err
		}
	}
	return err
}

// each calls f for every record under prefix.
func (m *migration) each(ctx context.Context, prefix string, f func(ctx context.Context, kv *mvccpb.KeyValue) error) error {
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	for {
		r, err := m.store.kv.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(migratePage))
		if err != nil {
			return unavailable("migrate", err)
		}
		for _, kv := range r.Kvs {
			if err := f(ctx, kv); err != nil {
				return fmt.Errorf("record %s: %w", kv.Key, err)
			}
		}
		if !r.More || len(r.Kvs) == 0 {
			return nil
		}
		from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
	}
}

// change writes what f puts, if nothing that it read has changed.
func (m *migration) change(ctx context.Context, organization string, f func(ctx context.Context, tx *Tx) error) error {
	tx := &Tx{View: m.store.newView(organization), Now: time.Now().UTC().Truncate(time.Second)}
	if err := f(ctx, tx); err != nil || len(tx.ops) == 0 {
		return err
	}
	_, ok, err := tx.commit(ctx)
	if err != nil {
		return unavailable("migrate", err)
	}
	if !ok {
		return errors.Join(errOvertaken, m.store.checkFence(ctx))
	}
	return nil
}

// toTwo: roles have several keys, each sealed for itself, and API keys belong
// to service accounts.
func toTwo(ctx context.Context, m *migration) error {
	err := m.each(ctx, root+"org/", func(ctx context.Context, kv *mvccpb.KeyValue) error {
		// org/<organization>/role/<account>/<role>
		path := strings.Split(strings.TrimPrefix(string(kv.Key), root+"org/"), "/")
		if len(path) != 4 || path[1] != "role" {
			return nil
		}
		return m.change(ctx, path[0], func(ctx context.Context, tx *Tx) error { return m.roleToTwo(ctx, tx, path[2], path[3]) })
	})
	if err != nil {
		return err
	}
	return m.each(ctx, apiKeyKey(""), func(ctx context.Context, kv *mvccpb.KeyValue) error {
		var k APIKey
		if err := decode(string(kv.Key), kv.Value, kv.ModRevision, &k); err != nil {
			return err
		}
		if k.Organization == "" || k.ServiceAccount != "" {
			return nil
		}
		return m.change(ctx, k.Organization, func(ctx context.Context, tx *Tx) error { return apiKeyToTwo(ctx, tx, k.ID) })
	})
}

// roleOne is a role of version 1.
type roleOne struct {
	Stored

	Name        string               `json:"name"`
	Permissions accounts.Permissions `json:"permissions"`
	Key         string               `json:"key"`
	SealedSeed  []byte               `json:"sealed_seed"`
}

func (m *migration) roleToTwo(ctx context.Context, tx *Tx, account, name string) error {
	var old roleOne
	if err := tx.load(ctx, tx.orgKey("role/%s/%s", account, name), &old); err != nil || old.Key == "" {
		return ignoreNotFound(err)
	}
	a, err := tx.Account(ctx, account)
	if err != nil {
		return fmt.Errorf("read its account: %w", err)
	}
	row := "account/" + a.PublicKey + "/role/" + name
	sealed, err := m.reseal(ctx, row, row+"/"+old.Key, old.SealedSeed)
	if err != nil {
		return fmt.Errorf("seal its key anew: %w", err)
	}
	return tx.PutRole(account, Role{
		Name: name, Permissions: old.Permissions, CreateTime: a.CreateTime, UpdateTime: tx.Now,
		Keys: []SigningKey{{PublicKey: old.Key, SealedSeed: sealed, State: KeyActive, CreateTime: a.CreateTime, PromoteTime: a.CreateTime}},
	})
}

// apiKeyToTwo gives a key to a service account that is named for the role that
// the key had.
func apiKeyToTwo(ctx context.Context, tx *Tx, id string) error {
	var k APIKey
	if err := tx.load(ctx, apiKeyKey(id), &k); err != nil || k.ServiceAccount != "" {
		return ignoreNotFound(err)
	}
	k.ServiceAccount, k.Role = k.Role, ""
	_, err := tx.ServiceAccount(ctx, k.ServiceAccount)
	if isNotFound(err) {
		err = tx.PutServiceAccount(ServiceAccount{
			ID: k.ServiceAccount, UID: accounts.NewUID(accounts.PrefixService, tx.Now), Bindings: []RoleBinding{{Role: k.ServiceAccount}},
			CreateTime: k.CreateTime, UpdateTime: tx.Now,
		})
	}
	if err != nil {
		return err
	}
	var ids keyIDs
	if err := ignoreNotFound(tx.load(ctx, tx.orgKey("sa-keys/%s", k.ServiceAccount), &ids)); err != nil {
		return err
	}
	if !slices.Contains(ids.IDs, id) {
		ids.IDs = append(ids.IDs, id)
	}
	return errors.Join(tx.PutAPIKey(k), tx.put(tx.orgKey("apikey/%s", id), struct{}{}), tx.put(tx.orgKey("sa-keys/%s", k.ServiceAccount), ids))
}

// toThree: audit entries wait for the ledger in one place.
func toThree(ctx context.Context, m *migration) error {
	move := func(ctx context.Context, kv *mvccpb.KeyValue) error {
		// org/<organization>/audit/<sequence>, or sys/audit/<sequence>
		path := strings.Split(strings.TrimPrefix(string(kv.Key), root), "/")
		organization := ""
		if path[0] == "org" && len(path) == 4 {
			organization, path = path[1], path[1:]
		}
		if len(path) != 3 || path[1] != "audit" {
			return nil
		}
		return m.change(ctx, organization, func(ctx context.Context, tx *Tx) error {
			value, revision, err := tx.get(ctx, string(kv.Key))
			if err != nil || revision == 0 {
				return err
			}
			var e AuditEntry
			if err := decode(string(kv.Key), value, revision, &e); err != nil {
				return err
			}
			tx.remove(string(kv.Key))
			return tx.put(auditKey(organization, e.Sequence), e.Entry)
		})
	}
	return errors.Join(m.each(ctx, root+"org/", move), m.each(ctx, systemAudit+"/", move))
}
