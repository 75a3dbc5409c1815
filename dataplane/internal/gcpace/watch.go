package gcpace

import (
	"runtime"
	"sync/atomic"
)

// watcher is told of collections: nobody refers to its sentinel, which is
// finalized after each, and comes back.
type watcher struct {
	told chan struct{} // holds one; who looks late sees several collections as one
	gone atomic.Bool
}

type sentinel struct{ of *watcher }

func watch() *watcher {
	w := &watcher{told: make(chan struct{}, 1)}
	rearm(&sentinel{w})
	return w
}

func rearm(s *sentinel) {
	runtime.SetFinalizer(s, func(s *sentinel) {
		if s.of.gone.Load() {
			return
		}
		select {
		case s.of.told <- struct{}{}:
		default:
		}
		rearm(s)
	})
}
