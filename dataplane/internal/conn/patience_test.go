package conn

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatienceBeginsWhenSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patience{lasts: time.Minute}
		defer p.stop()
		<-time.After(time.Hour)
		if at, ok := p.Deadline(); !ok || time.Until(at) != time.Minute {
			t.Errorf("it lasts %v, %v", time.Until(at), ok)
		}
		inner, cancel := context.WithTimeout(p, time.Hour)
		defer cancel()
		begin := time.Now()
		<-inner.Done()
		if d := time.Since(begin); d != time.Minute || !errors.Is(p.Err(), context.DeadlineExceeded) || !errors.Is(inner.Err(), context.DeadlineExceeded) {
			t.Errorf("it lasted %v, %v, %v", d, p.Err(), inner.Err())
		}
	})
}

func TestPatienceThatNobodyNeedsHasNoTimer(t *testing.T) {
	p := &patience{lasts: time.Minute}
	p.stop()
	if p.ctx != nil {
		t.Error("a timer was made")
	}
}
