package account_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/share"
)

// lapsed is a function that waits for an answer.
type lapsed func(*account.Answer)

func (f lapsed) Lapsed(x *account.Answer) { f(x) }
func (lapsed) Suffix() string             { return "" }

func TestAnswersEndOnce(t *testing.T) {
	p, c := account.New("p", account.NoUsage{}, &account.State{}), account.New("c", account.NoUsage{}, &account.State{})
	x := p.Expect(c, "inbox", &share.Export{}, nil)
	if p.Awaited([]byte(x.Subject)) != x || p.Owed() != 1 || x.To != c || x.Reply != "inbox" {
		t.Fatalf("%+v is not awaited", x)
	}
	if c.Awaited([]byte(x.Subject)) != nil {
		t.Error("another account may answer")
	}
	if !p.Settle(x) || p.Settle(x) || p.Awaited([]byte(x.Subject)) != nil || p.Owed() != 0 {
		t.Error("the answer did not end once")
	}
	p.Extend(x) // comes too late, and does nothing
	if p.Owed() != 0 {
		t.Error("it came back")
	}
}

func TestWhoAsksTooMuchLosesItsOwnOldestQuestion(t *testing.T) {
	p := account.New("p", account.NoUsage{}, &account.State{})
	quiet, loud := account.New("q", account.NoUsage{}, &account.State{}), account.New("l", account.NoUsage{}, &account.State{})
	e := &share.Export{}
	kept := p.Expect(quiet, "r", e, nil)
	var lost []*account.Answer
	note := lapsed(func(x *account.Answer) { lost = append(lost, x) })
	first := p.Expect(loud, "r", e, note)
	for range 1 << 16 {
		p.Expect(loud, "r", e, note)
	}
	if len(lost) != 1 || lost[0] != first {
		t.Errorf("%d were lost, want the first one", len(lost))
	}
	if p.Awaited([]byte(kept.Subject)) != kept || p.Owed() != 1<<16+1 {
		t.Errorf("%d are owed", p.Owed())
	}
}

func TestAnswersLapse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharers(t)
		s.put(s.p)
		s.put(s.c)
		p, c := s.get(s.p), s.get(s.c)
		defer s.run()()
		var ended []time.Duration
		start := time.Now()
		note := lapsed(func(*account.Answer) { ended = append(ended, time.Since(start)) })
		long := p.Expect(c, "a", &share.Export{}, note)
		p.Expect(c, "b", &share.Export{Threshold: 300 * time.Millisecond}, note)
		p.Expect(c, "c", &share.Export{Threshold: time.Second}, note)
		<-time.After(time.Minute)
		p.Extend(long)
		<-time.After(time.Hour)
		synctest.Wait()
		if len(ended) != 3 || ended[0] != 300*time.Millisecond || ended[1] != time.Second || ended[2] != 3*time.Minute {
			t.Errorf("lapsed after %v", ended)
		}
		if p.Owed() != 0 {
			t.Errorf("%d are owed", p.Owed())
		}
		p.Expect(c, "d", &share.Export{Threshold: time.Second}, note)
		<-time.After(time.Second)
		synctest.Wait()
		if len(ended) != 4 {
			t.Error("after a rest nothing lapses any more")
		}
	})
}
