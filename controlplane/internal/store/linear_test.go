package store_test

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/testetcd"
)

// step is one operation on a register: the credential life of an account, as an
// example of a field.
type step struct {
	write    bool
	add      bool // write what was read plus value
	value    int64
	unknown  bool // it may or may not have been made
	got      int64
	register string
}

// register is what a linearizable field does.
func register() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			by := map[string][]porcupine.Operation{}
			for _, o := range history {
				key := o.Input.(step).register //nolint:errcheck,forcetypeassert // the test made it
				by[key] = append(by[key], o)
			}
			var parts [][]porcupine.Operation
			for _, part := range by {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return int64(0) },
		Step: func(state, input, output any) (bool, any) {
			value, in, out := state.(int64), input.(step), output.(step) //nolint:errcheck,forcetypeassert // the test made them
			switch {
			case in.add:
				return out.unknown || out.got == value+in.value, value + in.value
			case in.write:
				return true, in.value
			}
			return out.got == value, value
		},
	}
}

// client makes changes and reads through a store, and notes what it saw.
type client struct {
	store   *store.Store
	rand    *rand.Rand
	id      int
	began   time.Time
	history *[]porcupine.Operation
	mu      *sync.Mutex
}

func (c *client) note(in, out step, call time.Time) {
	end := time.Since(c.began).Nanoseconds()
	if out.unknown {
		end = math.MaxInt64 // it may still happen
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.history = append(*c.history, porcupine.Operation{
		ClientId: c.id, Input: in, Output: out, Call: call.Sub(c.began).Nanoseconds(), Return: end,
	})
}

func (c *client) run(ctx context.Context, t *testing.T) {
	for n := int64(1); ctx.Err() == nil; n++ {
		in := step{register: []string{"a", "b"}[c.rand.IntN(2)], value: int64(c.id)*1_000_000 + n}
		if in.write = c.rand.IntN(2) == 0; in.write && c.rand.IntN(2) == 0 {
			in.add, in.value = true, 1
		}
		call := time.Now()
		out, ok := c.do(ctx, t, in)
		if ok {
			c.note(in, out, call)
		}
	}
}

// do makes one step; ok is false when it certainly had no effect and saw
// nothing.
func (c *client) do(ctx context.Context, t *testing.T, in step) (out step, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if !in.write {
		v, err := c.store.View(store.Everything(), "acme")
		if err != nil {
			t.Error(err)
			return out, false
		}
		a, err := v.Account(ctx, in.register)
		return step{got: a.CredentialTTLSeconds}, err == nil
	}
	change := store.Change{Scope: store.Everything(), Organization: "acme", Actor: "key_test", Method: "Test"}
	got, _, err := store.Update(ctx, c.store, change, func(ctx context.Context, tx *store.Tx) (int64, store.Outcome, error) {
		a, err := tx.Account(ctx, in.register)
		if err != nil {
			return 0, store.Outcome{}, err
		}
		if !in.add {
			a.CredentialTTLSeconds = 0
		}
		a.CredentialTTLSeconds += in.value
		return a.CredentialTTLSeconds, store.Outcome{}, tx.PutAccount(a)
	})
	switch reason(err) {
	case "UNKNOWN_OUTCOME":
		return step{unknown: true}, true
	case "":
		if err != nil {
			return step{unknown: true}, true // the caller's time was up
		}
		return step{got: got}, true
	}
	return out, false // refused for certain
}

// Members are killed and paused, two control planes write and read: what they
// see is what one register would show.
func TestChangesAreLinearizable(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	c := testetcd.NewCluster(t, 3, testetcd.Options{})
	setup := store.New(dial(t, c), dial(t, c), slog.New(slog.DiscardHandler))
	for _, id := range []string{"a", "b"} {
		change := store.Change{Scope: store.Everything(), Organization: "acme", Actor: "key_test", Method: "Test"}
		if _, _, err := store.Update(t.Context(), setup, change, func(ctx context.Context, tx *store.Tx) (struct{}, store.Outcome, error) {
			return struct{}{}, store.Outcome{}, tx.CreateAccount(ctx, store.Account{ID: id, PublicKey: id})
		}); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	var history []porcupine.Operation
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	began := time.Now()
	for plane := range 2 {
		etcd := dial(t, c)
		s := store.New(etcd, etcd, slog.New(slog.DiscardHandler))
		for i := range 3 {
			id := plane*3 + i
			cl := &client{store: s, rand: rand.New(rand.NewPCG(seed, uint64(id))), id: id, began: began, history: &history, mu: &mu}
			all.Go(func() { cl.run(ctx, t) })
		}
	}
	chaos := rand.New(rand.NewPCG(seed, 99))
	for range rounds {
		m := c.Members[chaos.IntN(len(c.Members))]
		pass(t, 300*time.Millisecond)
		if chaos.IntN(2) == 0 {
			m.Kill(t)
			pass(t, time.Second)
			m.Start(t)
		} else {
			m.Pause(t)
			pass(t, 3*time.Second)
			m.Resume(t)
		}
		c.Await(t)
	}
	const enough = 20 // operations: a slow machine needs time for them
	done := func() int { mu.Lock(); defer mu.Unlock(); return len(history) }
	for deadline := time.Now().Add(time.Minute); done() < enough && time.Now().Before(deadline); {
		pass(t, 50*time.Millisecond)
	}
	stop()
	all.Wait()
	result, _ := porcupine.CheckOperationsVerbose(register(), history, time.Minute)
	t.Logf("%d operations: %s", len(history), result)
	if result != porcupine.Ok || len(history) < enough {
		t.Errorf("%d operations: %s (seed %d)", len(history), result, seed)
	}
}

// pass lets time go by: the faults last a while.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	wait, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	<-wait.Done()
}
