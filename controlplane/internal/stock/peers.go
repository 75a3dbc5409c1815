package stock

import (
	"slices"
	"time"

	"github.com/coveymq/covey/controlplane/internal/store"
)

// seenEvery is how often it is written down that a server still answers.
const seenEvery = time.Minute

// peer is a server of the cluster.
type peer struct {
	store.StockServer

	owes map[string]struct{} // accounts that it did not take
}

// peers are the servers that are known. One that does not answer stays: it may
// serve an older state. It goes when it said that it stops, when another process
// has its name, or when somebody vouches for it.
type peers struct{ list []*peer }

func peersOf(servers []store.StockServer) *peers {
	p := &peers{}
	for _, s := range servers {
		p.list = append(p.list, &peer{StockServer: s, owes: map[string]struct{}{}})
	}
	return p
}

func (p *peers) servers() []store.StockServer {
	out := make([]store.StockServer, len(p.list))
	for i, s := range p.list {
		out[i] = s.StockServer
	}
	return out
}

// heard takes in who answered just now.
func (p *peers) heard(answers []identity, now time.Time) {
	here := map[string]identity{}
	for _, a := range answers {
		here[a.ID] = a
	}
	for id, a := range here {
		if !slices.ContainsFunc(p.list, func(s *peer) bool { return s.ID == id }) {
			p.list = append(p.list, &peer{StockServer: store.StockServer{Name: a.Name, ID: id, Version: a.Version, Unsure: true}, owes: map[string]struct{}{}})
		}
	}
	p.list = slices.DeleteFunc(p.list, func(s *peer) bool {
		if _, ok := here[s.ID]; ok {
			return false
		}
		return slices.ContainsFunc(answers, func(a identity) bool { return a.Name == s.Name })
	})
	for _, s := range p.list {
		if _, ok := here[s.ID]; !ok {
			s.gone()
			continue
		}
		if !s.Present || now.Sub(s.LastSeen) >= seenEvery {
			s.LastSeen = now
		}
		s.Present = true
	}
	slices.SortFunc(p.list, func(a, b *peer) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
}

// gone notes that a server does not answer: what it misses meanwhile is not
// known.
func (s *peer) gone() { s.Present, s.Unsure = false, true }

// exited forgets a server that said that it stops.
func (p *peers) exited(id string) {
	p.list = slices.DeleteFunc(p.list, func(s *peer) bool { return s.ID == id })
}

// forgetAbsent forgets the servers that do not answer.
func (p *peers) forgetAbsent() {
	p.list = slices.DeleteFunc(p.list, func(s *peer) bool { return !s.Present })
}

func (p *peers) allGone() {
	for _, s := range p.list {
		s.Present = false
	}
}

func (p *peers) allUnsure() {
	for _, s := range p.list {
		s.Unsure = true
	}
}

func (p *peers) present() map[string]*peer {
	here := map[string]*peer{}
	for _, s := range p.list {
		if s.Present {
			here[s.ID] = s
		}
	}
	return here
}

// unsure reports whether a server that answers has to be compared.
func (p *peers) unsure() bool {
	return slices.ContainsFunc(p.list, func(s *peer) bool { return s.Present && s.Unsure })
}

// owed returns the accounts that some server did not take.
func (p *peers) owed() []string {
	all := map[string]struct{}{}
	for _, s := range p.present() {
		for key := range s.owes {
			all[key] = struct{}{}
		}
	}
	keys := make([]string, 0, len(all))
	for key := range all {
		keys = append(keys, key)
	}
	return keys
}

// resumeAt is the revision after which changes are to be seen so that nobody that
// is up to date misses one; 0 when nobody is.
func (p *peers) resumeAt() int64 {
	var at int64
	for _, s := range p.list {
		if !s.Unsure && (at == 0 || s.AckedRevision < at) {
			at = s.AckedRevision
		}
	}
	return at
}

// acknowledge notes that a server has everything up to a revision, unless it owes
// something or is to be compared first.
func (s *peer) acknowledge(revision int64, now time.Time) {
	if s.Unsure || len(s.owes) > 0 || revision <= s.AckedRevision {
		return
	}
	s.AckedRevision, s.AckTime = revision, now
}
