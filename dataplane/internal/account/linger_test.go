package account_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/share"
)

// marked is a waiter whose answers are told from others.
type marked struct{ lapsed }

func (marked) Suffix() string { return ".node.T" }

// An answer that was given cannot be given again, and is there for its waiter until
// that has heard the rest, or for a while.
func TestAnAnswerLingersForItsWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharers(t)
		s.put(s.p)
		s.put(s.c)
		p, c := s.get(s.p), s.get(s.c)
		defer s.run()()
		lost := make(map[*account.Answer]time.Duration)
		start := time.Now()
		waiter := marked{func(x *account.Answer) { lost[x] = time.Since(start) }}

		x := p.Expect(c, "inbox", &share.Export{Threshold: time.Minute}, waiter)
		if !strings.HasSuffix(x.Subject, ".node.T") || p.Awaited([]byte(x.Subject)) != x {
			t.Fatalf("nobody is to answer on %s", x.Subject)
		}
		if !p.Linger(x) || p.Linger(x) || p.Settle(x) {
			t.Error("the right to answer did not end once")
		}
		p.Extend(x) // comes too late, and does nothing
		if p.Awaited([]byte(x.Subject)) != nil || p.Asked(x.Subject) != x {
			t.Error("it is not there for the waiter alone")
		}
		if !p.Finish(x) || p.Finish(x) || p.Linger(x) || p.Asked(x.Subject) != nil || p.Owed() != 0 {
			t.Error("it did not go when the waiter had heard all")
		}

		early := p.Expect(c, "inbox", &share.Export{Threshold: time.Minute}, waiter)
		if !p.Finish(early) || p.Settle(early) {
			t.Error("what ends before the answer does not end the right to it")
		}

		late := p.Expect(c, "inbox", &share.Export{Threshold: time.Minute}, waiter)
		p.Linger(late)
		<-time.After(10 * time.Second)
		synctest.Wait()
		if len(lost) != 1 || lost[late] != 2*time.Second || p.Owed() != 0 {
			t.Errorf("%v lapsed, %d are owed", lost, p.Owed())
		}
	})
}

// What is published about a traced message is taken for a while, without a bound of
// how much.
func TestEventsOfATraceAreTakenForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSharers(t)
		s.put(s.p)
		s.put(s.c)
		p, c := s.get(s.p), s.get(s.c)
		defer s.run()()
		x := p.ExpectTrace(c, "my.trace", &share.Export{Threshold: time.Millisecond})
		<-time.After(29 * time.Second)
		synctest.Wait()
		if got := p.Awaited([]byte(x.Subject)); got != x || !x.Trace || x.To != c || x.Reply != "my.trace" {
			t.Errorf("%+v is taken", got)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if p.Awaited([]byte(x.Subject)) != nil || p.Owed() != 0 {
			t.Error("it is taken for ever")
		}
	})
}
