package share

import (
	"github.com/coveymq/covey/dataplane/internal/subject"
	"github.com/coveymq/covey/dataplane/internal/transform"
)

// maxDepth bounds how far imports of imports are followed.
const maxDepth = 1024

// formsCycle refuses an import through which what an account sends would come
// back to it.
func formsCycle(importer string, from *Side, im *Import, look func(string) *Side) error {
	walk := func(s string) error {
		return (&walker{im.Kind, look, map[string]bool{importer: true}}).follow(from, s)
	}
	if im.Kind == Service {
		local := im.To()
		if subject.HasWildcard(im.Subject) {
			local = transform.Pattern(local)
		}
		return walk(local)
	}
	if err := walk(im.To()); err != nil {
		return err
	}
	return walk(im.Subject)
}

// walker follows imports from account to account.
type walker struct {
	kind    Kind
	look    func(string) *Side
	visited map[string]bool
}

func (w *walker) follow(at *Side, s string) error {
	if len(w.visited) >= maxDepth {
		return ErrDepth
	}
	if w.kind == Stream && at.Terms.export(Stream, s) == nil {
		return nil
	}
	for _, l := range at.Links {
		if l.Import.Kind != w.kind {
			continue
		}
		meets, next := l.Remote, l.Local
		if w.kind == Stream {
			meets = l.Local
		}
		if !subject.Overlaps(s, meets) {
			continue
		}
		if w.visited[l.Import.Account] {
			return ErrCycle
		}
		w.visited[at.Key] = true
		if !subject.Matches(next, s) {
			next = s
		}
		if further := w.look(l.Import.Account); further != nil {
			if err := w.follow(further, next); err != nil {
				return err
			}
		}
	}
	return nil
}
