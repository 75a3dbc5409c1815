package store

import (
	"bytes"
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/internal/errs"
)

// SchemaVersion is the version of the records and their keys that this program
// writes. It goes up when an older program would misread or destroy what a
// newer one writes; a field that may be absent is no reason. Each step has its
// migration in migrate.go.
const SchemaVersion = 7

// schemaUnnumbered is the version of records from before there were versions.
const schemaUnnumbered = 1

const schemaKey = root + "sys/schema"

// schema says which version the store has. While Target is there, a migration
// to it is under way.
type schema struct {
	Stored
	Version int `json:"version"`
	Target  int `json:"target,omitempty"`
}

func errNewer(version int) *errs.Error {
	return errs.New(errs.Precondition, "STORE_NEWER", "the store was written by a newer version of Covey (schema %d, this one knows %d)", version, SchemaVersion).
		WithNext("start that version")
}

var errReplaced = errs.New(errs.Precondition, "STORE_REPLACED", "the store is not the one that this control plane was started on").
	WithNext("restart the control plane")

// Prepare makes the store ready for this program: it numbers an empty store,
// migrates an older one and refuses a newer one. Control planes that run on an
// older version lose their right to write before the first record is touched.
// Several may prepare one store at once.
func (s *Store) Prepare(ctx context.Context, reseal Reseal) error {
	for range attemptsMax {
		done, err := s.prepare(ctx, reseal)
		if err != nil || done {
			return err
		}
	}
	return errContended
}

func (s *Store) prepare(ctx context.Context, reseal Reseal) (bool, error) {
	v := s.newView("")
	have, err := v.schema(ctx)
	if err != nil {
		return false, err
	}
	switch {
	case max(have.Version, have.Target) > SchemaVersion:
		return false, errNewer(max(have.Version, have.Target))
	case have.Version == 0:
		return s.putSchema(ctx, v, schema{Version: SchemaVersion})
	case have.Version == SchemaVersion:
		s.fence.Store(have.Revision)
		return true, nil
	}
	if have.Target == 0 || have.Target < SchemaVersion {
		// From here on older control planes cannot write.
		have.Target = SchemaVersion
		_, err := s.putSchema(ctx, v, have)
		return false, err
	}
	s.fence.Store(have.Revision)
	m := &migration{store: s, reseal: reseal}
	if err := m.run(ctx, have.Version); err != nil {
		return false, fmt.Errorf("migrate store from schema %d to %d: %w", have.Version, SchemaVersion, err)
	}
	return s.finishMigration(ctx, have.Version)
}

// schema reads the store's version: 0 of an empty store.
func (v *View) schema(ctx context.Context) (schema, error) {
	var have schema
	err := v.load(ctx, schemaKey, &have)
	if !isNotFound(err) {
		return have, err
	}
	used, err := v.exists(ctx, installationKey)
	if err == nil && used {
		have.Version = schemaUnnumbered
	}
	return have, err
}

// putSchema replaces what v read. False means that somebody else was faster.
func (s *Store) putSchema(ctx context.Context, v *View, next schema) (bool, error) {
	tx := &Tx{View: v}
	if err := tx.put(schemaKey, next); err != nil {
		return false, err
	}
	r, err := s.kv.Txn(ctx).If(tx.compares()...).Then(tx.ops...).Commit()
	if err != nil {
		return false, unavailable("number", err)
	}
	if r.Succeeded {
		s.fence.Store(r.Header.Revision)
	}
	return r.Succeeded, nil
}

// finishMigration writes the new version down, with an audit entry.
func (s *Store) finishMigration(ctx context.Context, from int) (bool, error) {
	c := Change{
		Scope: Everything(), Actor: "system", Method: "MigrateStore", Target: "installation",
		Reason: fmt.Sprintf("from schema %d to %d", from, SchemaVersion),
	}
	_, r, err := Update(ctx, s, c, func(ctx context.Context, tx *Tx) (struct{}, Outcome, error) {
		have, err := tx.schema(ctx)
		if err != nil || have.Version == SchemaVersion {
			return struct{}{}, Outcome{}, err
		}
		return struct{}{}, Outcome{}, tx.put(schemaKey, schema{Version: SchemaVersion})
	})
	if err != nil {
		return false, err
	}
	s.log.InfoContext(ctx, "store migrated", "from", from, "to", SchemaVersion, "rev", r.Revision)
	return false, nil // once more, for the revision that guards our writes
}

// fenceCompare holds while the store's version is the one that this program
// prepared.
func (s *Store) fenceCompare() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(schemaKey), "=", s.fence.Load())
}

// checkFence tells an overtaken change from a store that is no longer ours to
// write.
func (s *Store) checkFence(ctx context.Context) error {
	have, err := s.newView("").schema(ctx)
	switch {
	case err != nil:
		return err
	case have.Revision == s.fence.Load():
		return nil
	case max(have.Version, have.Target) > SchemaVersion:
		return errNewer(max(have.Version, have.Target))
	case have.Version == SchemaVersion:
		s.fence.Store(have.Revision)
		return nil
	}
	return errReplaced
}

// recordMark opens every record; the version that wrote it follows.
const recordMark = `{"v":`

// mark puts the version into an encoded record.
func mark(text []byte) string {
	separator := ","
	if string(text) == "{}" {
		separator = ""
	}
	return fmt.Sprintf("%s%d%s%s", recordMark, SchemaVersion, separator, text[1:])
}

// versionOf reads which version wrote a record.
func versionOf(value []byte) int {
	rest, marked := bytes.CutPrefix(value, []byte(recordMark))
	if !marked {
		return schemaUnnumbered
	}
	version := 0
	for _, c := range rest {
		if c < '0' || c > '9' || version > 1<<20 {
			break
		}
		version = version*10 + int(c-'0')
	}
	return version
}
