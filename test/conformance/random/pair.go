package random

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/coveymq/covey/test/conformance"
	"github.com/coveymq/covey/test/conformance/proc"
)

// patience bounds one session on a server that runs; what takes longer is looked
// at again with all the time it wants.
const patience = 4 * time.Second

// Pair is stock nats-server and the broker under test, both running with one
// configuration. It is used by one goroutine.
type Pair struct {
	Judge, Subject conformance.Target

	servers [2]*proc.Server
}

// Start starts both. A configuration that one of them refuses is the first
// difference: it is returned as a Verdict, with no pair. If both refuse, neither
// is returned.
func Start(ctx context.Context, judge, subject conformance.Target, setup *Setup) (*Pair, *Verdict) {
	p := &Pair{Judge: judge, Subject: subject}
	var errs [2]error
	both(func(i int) {
		t := p.target(i)
		p.servers[i], errs[i] = proc.Start(ctx, proc.Options{Path: t.Path, Config: setup.Config(), Dir: t.Dir})
	})
	if errs[0] == nil && errs[1] == nil {
		return p, nil
	}
	p.Stop()
	if errs[0] != nil && errs[1] != nil {
		return nil, nil
	}
	return nil, &Verdict{Diff: []string{fmt.Sprintf("configuration: judge %v, subject %v", errs[0], errs[1])}}
}

func (p *Pair) target(i int) conformance.Target {
	if i == 0 {
		return p.Judge
	}
	return p.Subject
}

// both does something for both servers at once.
func both(do func(i int)) {
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

// Stop ends both servers.
func (p *Pair) Stop() {
	for _, s := range p.servers {
		if s != nil {
			s.Stop()
		}
	}
}

// Verdict is what came of a session.
type Verdict struct {
	// Judge is what stock nats-server answered; nil if it could not be heard.
	Judge *conformance.Transcript
	// Diff is what differs; empty for nothing.
	Diff []string
	// Mute tells that stock nats-server itself left something unanswered: the
	// session says nothing.
	Mute bool
}

// Try plays the session on both servers as they run. What is left of earlier
// sessions may change an answer, so that a difference is but a suspicion.
func (p *Pair) Try(ctx context.Context, s *Session, cut conformance.Cut) Verdict {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return hear(s, func(i int, script *conformance.Script) (*conformance.Transcript, error) {
		if i == 0 {
			return conformance.PlayAt(ctx, p.servers[i].Addr, script, conformance.Cut{})
		}
		return conformance.PlayAt(ctx, p.servers[i].Addr, script, cut)
	})
}

// Confirm plays the session on servers of its own, so many times: only what
// differs each time is a difference.
func Confirm(ctx context.Context, judge, subject conformance.Target, s *Session, cut conformance.Cut, times int) Verdict {
	var v Verdict
	for range times {
		v = hear(s, func(i int, script *conformance.Script) (*conformance.Transcript, error) {
			if i == 0 {
				return conformance.Play(ctx, judge, script, conformance.Cut{})
			}
			return conformance.Play(ctx, subject, script, cut)
		})
		if len(v.Diff) == 0 {
			break
		}
	}
	return v
}

// hear plays on both and compares.
func hear(s *Session, play func(i int, script *conformance.Script) (*conformance.Transcript, error)) Verdict {
	script := s.Script()
	var heard [2]*conformance.Transcript
	var errs [2]error
	both(func(i int) { heard[i], errs[i] = play(i, script) })
	v := Verdict{Judge: heard[0]}
	switch {
	case errs[0] != nil:
		v.Mute = true
	case errs[1] != nil:
		v.Diff = []string{"+ <no answer> " + errs[1].Error()}
	default:
		v.Diff = conformance.Diff(heard[0], heard[1])
	}
	return v
}
