package operation_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coveymq/covey/controlplane/internal/operation"
)

func TestState(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var (
		acked    = operation.Broker{AckedRevision: 7, Leased: true}
		behind   = operation.Broker{Leased: true, ServeUntil: now.Add(time.Hour)}
		cutOff   = operation.Broker{ServeUntil: now.Add(time.Hour)}
		expired  = operation.Broker{ServeUntil: now}
		exited   = operation.Broker{Exited: true, ServeUntil: now.Add(time.Hour)}
		overdue  = operation.Broker{Leased: true, ServeUntil: now}
		goneDone = operation.Broker{AckedRevision: 7, ServeUntil: now.Add(time.Hour)}
	)
	for name, c := range map[string]struct {
		brokers []operation.Broker
		want    operation.State
	}{
		"no brokers":             {nil, operation.Done},
		"all acknowledged":       {[]operation.Broker{acked, goneDone}, operation.Done},
		"one leased is behind":   {[]operation.Broker{acked, behind, expired}, operation.Running},
		"one is cut off":         {[]operation.Broker{acked, cutOff}, operation.Enforced},
		"cut off before behind":  {[]operation.Broker{cutOff, behind}, operation.Running},
		"past serve-until":       {[]operation.Broker{acked, expired}, operation.Done},
		"exited without an ack":  {[]operation.Broker{exited}, operation.Done},
		"leased past its grace":  {[]operation.Broker{overdue}, operation.Running},
		"cut off, and others ok": {[]operation.Broker{exited, expired, cutOff}, operation.Enforced},
	} {
		if got := operation.StateOf(c.brokers, 7, now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

type fleet func(ctx context.Context) ([]operation.Broker, error)

func (f fleet) Brokers(ctx context.Context) ([]operation.Broker, error) {
	return f(ctx)
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f := fleet(func(context.Context) ([]operation.Broker, error) {
			b := operation.Broker{Leased: true}
			if time.Since(start) > 3*time.Second {
				b.AckedRevision = 1
			}
			return []operation.Broker{b}, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, state, err := operation.Wait(ctx, f, 1, operation.Enforced); err != nil || state != operation.Running {
			t.Errorf("Wait ended by its timeout = %v, %v", state, err)
		}
		if brokers, state, err := operation.Wait(t.Context(), f, 1, operation.Enforced); err != nil || state != operation.Done || len(brokers) != 1 {
			t.Errorf("Wait = %v, %v, %v", brokers, state, err)
		}
		broken := errors.New("broken")
		f = func(context.Context) ([]operation.Broker, error) { return nil, broken }
		if _, _, err := operation.Wait(t.Context(), f, 1, operation.Enforced); !errors.Is(err, broken) {
			t.Errorf("Wait = %v", err)
		}
	})
}
