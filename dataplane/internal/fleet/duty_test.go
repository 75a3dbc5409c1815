package fleet

import (
	"slices"
	"testing"
	"time"
)

// told notes what a sink is told of its duty.
type told struct {
	refusing
	all []string
}

func (s *told) Connections(string, []string, []string) int64 { return 0 }

func (s *told) Withdraw(why string) { s.all = append(s.all, why) }
func (s *told) Resume()             { s.all = append(s.all, "resume") }

func TestDutyIsToldOnce(t *testing.T) {
	var s told
	var d duty
	for _, next := range []duty{
		{},
		{draining: true},
		{draining: true},
		{draining: true, lapsed: true},
		{draining: true},
		{},
		{},
		{lapsed: true},
		{lapsed: true},
		{draining: true},
		{},
	} {
		d.become(next, &s)
	}
	want := []string{whyDraining, whyLapsed, "resume", whyLapsed, "resume"}
	if !slices.Equal(s.all, want) {
		t.Errorf("told %q, want %q", s.all, want)
	}
}

// A broker that is cut off serves until its right to do so ends, and again when
// it has been heard.
func TestTheRightToServeAloneEnds(t *testing.T) {
	var s told
	now := time.Now()
	c := &Client{phase: offline, contact: contact{Last: now, Grace: time.Hour}}
	c.checkRight(now, &s)
	c.checkRight(now.Add(time.Hour-time.Nanosecond), &s)
	if len(s.all) != 0 {
		t.Errorf("withdrawn early: %q", s.all)
	}
	c.checkRight(now.Add(time.Hour), &s)
	c.checkRight(now.Add(2*time.Hour), &s)
	if want := []string{whyLapsed}; !slices.Equal(s.all, want) {
		t.Errorf("told %q, want %q", s.all, want)
	}
	c.duty.become(duty{}, &s)
	if len(s.all) != 2 || s.all[1] != "resume" {
		t.Errorf("told %q after it attended again", s.all)
	}
}
