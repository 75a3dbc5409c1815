package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coveymq/covey/internal/lifecycle"
)

var errBroken = errors.New("broken")

func untilDone(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestFirstErrorStopsTheGroupAndIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := lifecycle.NewGroup(t.Context())
		g.Go(untilDone)
		g.Go(func(context.Context) error { return errBroken })
		if err := g.Wait(); !errors.Is(err, errBroken) {
			t.Errorf("Wait = %v, want %v", err, errBroken)
		}
	})
}

func TestMemberThatReturnsNilStopsTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := lifecycle.NewGroup(t.Context())
		g.Go(untilDone)
		g.Go(func(context.Context) error { return nil })
		if err := g.Wait(); err != nil {
			t.Errorf("Wait = %v, want nil", err)
		}
	})
}

func TestSideWorkMayEndAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := lifecycle.NewGroup(t.Context())
		g.Go(untilDone)
		g.Side(func(context.Context) error { return nil })
		synctest.Wait()
		if g.Context().Err() != nil {
			t.Error("side work that ended well stopped the group")
		}
		g.Stop()
		if err := g.Wait(); err != nil {
			t.Errorf("Wait = %v, want nil", err)
		}
	})
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := lifecycle.Backoff{Min: 100 * time.Millisecond, Max: time.Second}
		bound := b.Min
		for range 6 {
			start := time.Now()
			if err := b.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(start); d < bound/2 || d > bound {
				t.Errorf("pause %v outside [%v, %v]", d, bound/2, bound)
			}
			bound = min(2*bound, b.Max)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait on an ended context = %v", err)
		}
	})
}
