package lookout_test

import (
	"context"
	"errors"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/lookout"
	"github.com/coveymq/covey/internal/lifecycle"
)

// TestCall calls while nobody is there, and while somebody is, who then ends.
func TestCall(t *testing.T) {
	lookout.Call() // must not wait
	ctx, stop := context.WithCancel(t.Context())
	g := lifecycle.NewGroup(ctx)
	g.Go(lookout.Run)
	for range 1000 {
		lookout.Call()
	}
	stop()
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}
