package api

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"

	"github.com/coveymq/covey/controlplane/internal/authn"
	"github.com/coveymq/covey/controlplane/internal/authz"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const (
	watchRecheck = time.Minute      // how often the caller's key is looked at again
	watchSlowMax = 30 * time.Second // how long a caller may take to read one event
)

type watches struct {
	apiv1.UnimplementedWatchServiceServer
	*Server
}

var (
	errTooSlow = errs.New(errs.Unavailable, "WATCH_TOO_SLOW", "the events were not read fast enough").
			WithRetry(time.Second).WithNext("come back with the last bookmark")
	errDraining = errs.New(errs.Unavailable, "DRAINING", "the control plane goes away").WithRetry(time.Second).WithNext("come back with the last bookmark")
)

// watch is one call of WatchResources.
type watch struct {
	server  *Server
	name    name
	kinds   []*watchKind
	stream  grpc.ServerStreamingServer[apiv1.WatchResourcesResponse]
	checked time.Time
	stop    context.CancelCauseFunc // ends the reading of changes
}

// WatchResources implements apiv1.WatchServiceServer.
func (s *watches) WatchResources(req *apiv1.WatchResourcesRequest, stream grpc.ServerStreamingServer[apiv1.WatchResourcesResponse]) error {
	n, err := parseName(req.GetParent())
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(stream.Context())
	defer stop(nil)
	w := &watch{server: s.Server, name: n, stream: stream, checked: time.Now(), stop: stop}
	if w.kinds, err = watchedKinds(callOf(ctx).principal, n, req.GetKinds()); err != nil {
		return err
	}
	// A control plane that goes away tells its watchers at once.
	defer context.AfterFunc(s.draining, func() { stop(errDraining) })()
	after, err := w.begin(ctx, req.GetBookmark())
	for err == nil {
		err = s.store.Follow(ctx, s.watcher, callOf(ctx).principal.Scope(), n.organization, after, func(revision int64, changes []store.Changed) error {
			return w.tell(ctx, revision, changes)
		})
		if errors.Is(err, store.ErrHistoryGone) {
			after, err = w.snapshot(ctx, true)
		}
	}
	if cause := context.Cause(ctx); cause != nil && stream.Context().Err() == nil {
		return cause
	}
	return err
}

// begin finds the revision to go on from.
func (w *watch) begin(ctx context.Context, bookmark string) (int64, error) {
	if bookmark == "" {
		return w.snapshot(ctx, false)
	}
	after, err := strconv.ParseInt(bookmark, 10, 64)
	if err != nil || after < 1 {
		return 0, errs.New(errs.Invalid, "INVALID_BOOKMARK", "%q is not a bookmark that a watch told", bookmark).WithField("bookmark")
	}
	v, err := w.view(ctx)
	if err != nil {
		return 0, err
	}
	if after > v.Revision() {
		// A store that was restored to an older state: that future never happened.
		return w.snapshot(ctx, true)
	}
	return after, nil
}

// view returns a view of the organization as it is now, once its parent is
// there.
func (w *watch) view(ctx context.Context) (*store.View, error) {
	v, err := w.server.store.View(callOf(ctx).principal.Scope(), w.name.organization)
	if err != nil {
		return nil, err
	}
	if w.name.account != "" {
		_, err = v.Account(ctx, w.name.account)
	} else {
		_, err = v.Org(ctx)
	}
	return v, err
}

// snapshot tells everything that is there, and returns the revision of that.
func (w *watch) snapshot(ctx context.Context, reset bool) (int64, error) {
	v, err := w.view(ctx)
	if err != nil {
		return 0, err
	}
	if reset {
		if err := w.send(&apiv1.WatchResourcesResponse{Event: &apiv1.WatchResourcesResponse_Reset_{Reset_: true}}); err != nil {
			return 0, err
		}
	}
	for _, k := range w.kinds {
		err := k.each(ctx, w, v, func(c *apiv1.ResourceChange) error { return w.sendChange(c) })
		if err != nil {
			return 0, err
		}
	}
	return v.Revision(), w.bookmark(v.Revision())
}

// tell tells changes as they are now.
func (w *watch) tell(ctx context.Context, revision int64, changes []store.Changed) error {
	if time.Since(w.checked) > watchRecheck {
		if err := w.recheck(ctx); err != nil {
			return err
		}
	}
	told := map[string]bool{}
	for _, c := range changes {
		i := slices.IndexFunc(w.kinds, func(k *watchKind) bool { return k.segment == c.Parts[0] && len(c.Parts) == k.depth+1 })
		if i < 0 || w.name.account != "" && w.kinds[i].ofAccount && c.Parts[1] != w.name.account {
			continue
		}
		k := w.kinds[i]
		name := k.name(w.name.organization, c.Parts[1:])
		if told[name] {
			continue
		}
		told[name] = true
		change := &apiv1.ResourceChange{Name: name, Deleted: true}
		if !c.Deleted {
			v, err := w.server.store.View(callOf(ctx).principal.Scope(), w.name.organization)
			if err != nil {
				return err
			}
			err = k.get(ctx, w, v, c.Parts[1:], change)
			if errors.Is(err, store.ErrNotFound) {
				continue // its end is told later
			}
			if err != nil {
				return err
			}
			change.Deleted = false
		}
		if err := w.sendChange(change); err != nil {
			return err
		}
	}
	return w.bookmark(revision)
}

// recheck asks again whether the caller may see what it is told.
func (w *watch) recheck(ctx context.Context) error {
	p, err := authn.Authenticate(ctx, w.server.store, authorization(ctx), time.Now())
	if err != nil {
		return err
	}
	w.checked = time.Now()
	for _, k := range w.kinds {
		if authz.Decide(p, k.method, authz.Target{Organization: w.name.organization, Account: w.name.account}) != authz.Allowed {
			return errs.New(errs.Denied, "ROLE_DENIED", "the API key may not read %s any more", k.collection)
		}
	}
	return nil
}

func (w *watch) sendChange(c *apiv1.ResourceChange) error {
	return w.send(&apiv1.WatchResourcesResponse{Event: &apiv1.WatchResourcesResponse_Change{Change: c}})
}

func (w *watch) bookmark(revision int64) error {
	return w.send(&apiv1.WatchResourcesResponse{Event: &apiv1.WatchResourcesResponse_Bookmark{Bookmark: strconv.FormatInt(revision, 10)}})
}

// send bounds what waits for a caller that does not read: after a while its
// changes are not read any more.
func (w *watch) send(event *apiv1.WatchResourcesResponse) error {
	slow := time.AfterFunc(watchSlowMax, func() { w.stop(errTooSlow) })
	defer slow.Stop()
	return w.stream.Send(event)
}
