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
		acked    = operation.BrokerProgress{Acknowledged: true, Leased: true}
		behind   = operation.BrokerProgress{Leased: true, ServeUntil: now.Add(time.Hour)}
		cutOff   = operation.BrokerProgress{ServeUntil: now.Add(time.Hour)}
		expired  = operation.BrokerProgress{ServeUntil: now}
		exited   = operation.BrokerProgress{Exited: true, ServeUntil: now.Add(time.Hour)}
		goneDone = operation.BrokerProgress{Acknowledged: true, ServeUntil: now.Add(time.Hour)}
	)
	for name, c := range map[string]struct {
		brokers []operation.BrokerProgress
		want    operation.State
	}{
		"no brokers":             {nil, operation.Done},
		"all acknowledged":       {[]operation.BrokerProgress{acked, goneDone}, operation.Done},
		"one leased is behind":   {[]operation.BrokerProgress{acked, behind, expired}, operation.Running},
		"one is cut off":         {[]operation.BrokerProgress{acked, cutOff}, operation.Enforced},
		"cut off before behind":  {[]operation.BrokerProgress{cutOff, behind}, operation.Running},
		"past serve-until":       {[]operation.BrokerProgress{acked, expired}, operation.Done},
		"exited without an ack":  {[]operation.BrokerProgress{exited}, operation.Done},
		"cut off, and others ok": {[]operation.BrokerProgress{exited, expired, cutOff}, operation.Enforced},
	} {
		if got := operation.StateOf(c.brokers, now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

type fleet func(ctx context.Context) ([]operation.BrokerProgress, error)

func (f fleet) Progress(ctx context.Context, _ int64) ([]operation.BrokerProgress, error) {
	return f(ctx)
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f := fleet(func(context.Context) ([]operation.BrokerProgress, error) {
			return []operation.BrokerProgress{{Leased: true, Acknowledged: time.Since(start) > 3*time.Second}}, nil
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
		f = func(context.Context) ([]operation.BrokerProgress, error) { return nil, broken }
		if _, _, err := operation.Wait(t.Context(), f, 1, operation.Enforced); !errors.Is(err, broken) {
			t.Errorf("Wait = %v", err)
		}
	})
}
