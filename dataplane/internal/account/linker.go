package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/coveymq/covey/dataplane/internal/share"
	"github.com/coveymq/covey/internal/lifecycle"
)

// linker knows who imports from whom, so that a change of one account touches
// only those that it concerns.
type linker struct {
	wake chan struct{} // tells Run that there is something to do, or sooner

	mu        sync.Mutex
	importers map[string]map[string]bool // by the exporter's key, those of the importers; guarded by mu, as is all below
	exporters map[string][]string        // the other way round
	due       map[string]time.Time       // when an importer is to be linked anew, by its key
}

// When an exporter is looked for again that could not be looked up, or that
// there is not.
const (
	retryAfter  = 5 * time.Second
	searchAfter = time.Minute
	// lookupPatience is how long looking for an account's exporters may take.
	lookupPatience = 5 * time.Second
)

// Link puts the imports of an account in force, as far as the exporters are
// loaded, and those of the accounts that import from it. Exporters that are not
// are loaded by Run.
func (r *Registry) Link(key string) {
	if a := r.Loaded(key); a != nil {
		r.relink(a, 0)
	}
	r.linkImporters(key)
}

// linkImporters links the loaded accounts that import from one.
func (r *Registry) linkImporters(key string) {
	r.linker.mu.Lock()
	var keys []string
	for importer := range r.linker.importers[key] {
		keys = append(keys, importer)
	}
	r.linker.mu.Unlock()
	slices.Sort(keys)
	for _, importer := range keys {
		if a := r.Loaded(importer); a != nil && importer != key {
			r.relink(a, 0)
		}
	}
}

// linkLoaded links an account that was just loaded, with all that it imports
// from, and those that have waited for it.
func (r *Registry) linkLoaded(ctx context.Context, a *Account) {
	r.relink(a, r.loadExporters(ctx, a))
	r.linkImporters(a.Key)
}

// loadExporters loads what an account imports from, and returns after what time
// those that are missing are to be looked for again.
func (r *Registry) loadExporters(ctx context.Context, a *Account) time.Duration {
	again := searchAfter
	t := a.State().Terms
	if t == nil {
		return again
	}
	ctx, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	for i := range t.Imports {
		if _, err := r.attach(ctx, t.Imports[i].Account); err != nil && !errors.Is(err, ErrUnknown) {
			again = retryAfter
		}
	}
	return again
}

// relink computes an account's links and puts them in force. Exporters that are
// missing are looked for after a while.
func (r *Registry) relink(a *Account, missing time.Duration) {
	t := a.State().Terms
	if t == nil && a.links.Load() == nil {
		return
	}
	a.linking.Lock()
	defer a.linking.Unlock()
	l := &r.linker
	l.mu.Lock()
	now := time.Now()
	was := a.links.Load()
	next, due := r.compute(a, t, now)
	l.enlist(a.Key, t)
	if r.waits(t) {
		due = sooner(due, now.Add(missing))
	}
	if due.IsZero() {
		delete(l.due, a.Key)
	} else {
		l.due[a.Key] = due
	}
	l.mu.Unlock()
	r.explain(a, was, next)
	a.relink(next)
	if !due.IsZero() {
		l.poke()
	}
}

// compute returns the links of an account, and when the first of them lapses.
// Call it with the linker's mutex held.
func (r *Registry) compute(a *Account, t *share.Terms, now time.Time) (*Links, time.Time) {
	if t == nil {
		return nil, time.Time{}
	}
	self := a.side()
	self.Links = nil
	look := func(key string) *share.Side {
		if key == a.Key {
			return self
		}
		if from := r.Loaded(key); from != nil && !from.State().Deleted {
			return from.side()
		}
		return nil
	}
	var all []*Link
	var faults []string
	var due time.Time
	for i := range t.Imports {
		im := &t.Imports[i]
		link, err := share.NewLink(self, im, look, now)
		if err != nil {
			faults = append(faults, fmt.Sprintf("%s import %q from %s: %v", im.Kind, im.Subject, im.Account, err))
			continue
		}
		if link.Until != 0 {
			due = sooner(due, time.Unix(link.Until, 0))
		}
		self.Links = append(self.Links, link)
		all = append(all, a.links.Load().keep(&Link{link, r.Loaded(im.Account)}))
	}
	return newLinks(t, all, faults), due
}

// keep returns the link that there is already, if it means the same.
func (l *Links) keep(next *Link) *Link {
	for _, link := range l.all() {
		if link.From == next.From && link.Same(next.Link) {
			return link
		}
	}
	return next
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// waits reports whether something is imported from an account that is not
// loaded.
func (r *Registry) waits(t *share.Terms) bool {
	return r.source != nil && t != nil && slices.ContainsFunc(t.Imports, func(im share.Import) bool { return r.Loaded(im.Account) == nil })
}

// enlist notes from whom an account imports, in place of what it did. Call it
// with mu held.
func (l *linker) enlist(importer string, t *share.Terms) {
	for _, exporter := range l.exporters[importer] {
		if delete(l.importers[exporter], importer); len(l.importers[exporter]) == 0 {
			delete(l.importers, exporter)
		}
	}
	delete(l.exporters, importer)
	if t == nil || len(t.Imports) == 0 {
		return
	}
	if l.importers == nil {
		l.importers, l.exporters = make(map[string]map[string]bool), make(map[string][]string)
		l.due = make(map[string]time.Time)
	}
	for i := range t.Imports {
		exporter := t.Imports[i].Account
		if l.importers[exporter] == nil {
			l.importers[exporter] = make(map[string]bool)
		}
		l.importers[exporter][importer] = true
		l.exporters[importer] = append(l.exporters[importer], exporter)
	}
}

// forget ends what is known of an importer.
func (l *linker) forget(importer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.enlist(importer, nil)
	delete(l.due, importer)
}

func (l *linker) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// explain logs which imports came out of force, or never were in it.
func (r *Registry) explain(a *Account, was, next *Links) {
	for _, fault := range next.Faults() {
		if !slices.Contains(was.Faults(), fault) {
			r.log.Warn("an import is not in force", "account", a.Key, "why", fault)
		}
	}
}

// Run keeps imports in force until ctx ends: it loads exporters that were not to
// be had, ends what activation tokens no longer allow, and the rights to answers
// that do not come.
func (r *Registry) Run(ctx context.Context) error {
	g := lifecycle.NewGroup(ctx)
	g.Go(r.keepLinks)
	g.Go(r.sweeper.run)
	return g.Wait()
}

func (r *Registry) keepLinks(ctx context.Context) error {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		keys, next := r.linker.take(time.Now())
		for _, key := range keys {
			if a := r.Loaded(key); a != nil {
				r.linkLoaded(ctx, a)
			}
		}
		if len(keys) > 0 {
			continue
		}
		t.Reset(next)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.linker.wake:
		case <-t.C:
		}
	}
}

// take returns the accounts that are due, and how long it is until others are.
func (l *linker) take(now time.Time) (keys []string, next time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next = time.Hour
	for key, due := range l.due {
		if wait := due.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		keys = append(keys, key)
		delete(l.due, key)
	}
	return keys, next
}
