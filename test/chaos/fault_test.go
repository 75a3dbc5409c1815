package chaos_test

import (
	"time"

	"github.com/coveymq/covey/internal/netsim"
)

// fault is something that happens to a mesh. It begins it and returns what ends
// it before the mesh is healed; nil if nothing does.
type fault struct {
	name  string
	begin func(s *schedule, i, j int) (end func())
}

// All kinds, drawn by the seed. i and j are two different brokers.
var faults = []fault{ //nolint:gochecknoglobals // a table
	{"kill -9", func(s *schedule, i, _ int) func() {
		s.lose(i)
		s.mesh.kill(i)
		return func() { s.mesh.start(i) }
	}},
	{"restart in order", func(s *schedule, i, _ int) func() {
		s.lose(i)
		s.mesh.quit(i)
		s.mesh.start(i)
		return nil
	}},
	{"stop and continue", func(s *schedule, i, _ int) func() {
		s.mesh.pause(i)
		return func() { s.mesh.resume(i) }
	}},
	{"partition", func(s *schedule, i, j int) func() {
		cut := netsim.Path{Cut: true}
		s.mesh.between(i, j, netsim.Faults{Refuse: true, Out: cut, Back: cut})
		return nil
	}},
	{"partition of one from all", func(s *schedule, i, _ int) func() {
		cut := netsim.Path{Cut: true}
		for j := range s.mesh.nodes {
			if j != i {
				s.mesh.between(i, j, netsim.Faults{Refuse: true, Out: cut, Back: cut})
			}
		}
		return nil
	}},
	{"partition that loses what was under way", func(s *schedule, i, j int) func() {
		cut := netsim.Path{Cut: true}
		s.mesh.between(i, j, netsim.Faults{Refuse: true, Out: cut, Back: cut})
		return func() { s.mesh.sever(i, j) }
	}},
	{"one way cut", func(s *schedule, i, j int) func() {
		s.mesh.between(i, j, netsim.Faults{Out: netsim.Path{Cut: true}})
		return nil
	}},
	{"long way", func(s *schedule, i, j int) func() {
		far := netsim.Path{Delay: time.Duration(5+s.rng.IntN(100)) * time.Millisecond}
		s.mesh.between(i, j, netsim.Faults{Out: far, Back: far})
		return nil
	}},
	{"slow link", func(s *schedule, i, j int) func() {
		slow := netsim.Path{BytesPerSecond: 128 << 10}
		s.mesh.between(i, j, netsim.Faults{Out: slow, Back: slow})
		return nil
	}},
	{"severed", func(s *schedule, i, j int) func() {
		s.mesh.sever(i, j)
		return nil
	}},
	{"severed again and again", func(s *schedule, i, j int) func() {
		for range 3 + s.rng.IntN(5) {
			s.mesh.sever(i, j)
			s.pass(5 + s.rng.IntN(30))
		}
		return nil
	}},
}
