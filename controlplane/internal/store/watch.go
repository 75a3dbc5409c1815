package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/internal/errs"
)

// progressEvery is how often a quiet watch tells how far it is, so that who
// comes back later finds its place before history is compacted.
const progressEvery = 30 * time.Second

// ErrHistoryGone means that what happened since a revision is not known any
// more.
var ErrHistoryGone = errs.New(errs.Precondition, "HISTORY_GONE", "what happened since then is not known any more").WithNext("read everything again")

// Changed is a record of an organization that was written or removed. Parts are
// its key: the kind, and ids.
type Changed struct {
	Parts   []string
	Deleted bool
}

// Revision returns the revision that the view reads at, 0 before its first
// read.
func (v *View) Revision() int64 { return v.rev }

// Follow calls each for what happens to an organization after a revision, with
// the revision up to which everything has been told then, until ctx ends, each
// fails or history is gone. Batches without changes tell that time passed.
func (s *Store) Follow(ctx context.Context, w clientv3.Watcher, scope Scope, organization string, after int64, each func(revision int64, changes []Changed) error) error {
	v, err := s.View(scope, organization)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	prefix := v.orgKey("")
	events := w.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(after+1), clientv3.WithProgressNotify())
	progress := time.NewTicker(progressEvery)
	defer progress.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-progress.C:
			if err := w.RequestProgress(ctx); err != nil {
				return unavailable("watch", err)
			}
		case r, ok := <-events:
			if err := watchError(ctx, r, ok); err != nil {
				return err
			}
			if err := each(r.Header.GetRevision(), changesOf(prefix, r.Events)); err != nil {
				return err
			}
		}
	}
}

func watchError(ctx context.Context, r clientv3.WatchResponse, ok bool) error {
	err := r.Err()
	switch {
	case errors.Is(err, rpctypes.ErrCompacted):
		return ErrHistoryGone
	case err != nil:
		return unavailable("watch", err)
	case !ok && ctx.Err() != nil:
		return ctx.Err()
	case !ok:
		return unavailable("watch", fmt.Errorf("watch ended"))
	}
	return nil
}

func changesOf(prefix string, events []*clientv3.Event) []Changed {
	var changes []Changed
	for _, e := range events {
		parts := strings.Split(strings.TrimPrefix(string(e.Kv.Key), prefix), "/")
		if len(parts) == 4 && parts[0] == "cred" { // they sort newest first
			parts[3] = accounts.NewestFirst(parts[3])
		}
		if len(parts) == 2 && parts[0] == "alert" {
			parts[1] = accounts.NewestFirst(parts[1])
		}
		changes = append(changes, Changed{Parts: parts, Deleted: e.Type == mvccpb.DELETE})
	}
	return changes
}
