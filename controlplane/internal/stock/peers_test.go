package stock

import (
	"testing"
	"time"

	"github.com/coveymq/covey/controlplane/internal/operation"
	"github.com/coveymq/covey/controlplane/internal/store"
)

func who(name, id string) identity { return identity{Name: name, ID: id, Version: "2.15.2"} }

// A server that does not answer is waited for until there is proof that it serves
// nobody.
func TestAServerIsForgottenByProofOnly(t *testing.T) {
	now := time.Unix(1000, 0)
	p := peersOf(nil)
	p.heard([]identity{who("a", "1"), who("b", "2")}, now)
	if len(p.list) != 2 || !p.unsure() || p.resumeAt() != 0 {
		t.Fatalf("new servers are to be compared: %+v", p.servers())
	}
	for _, s := range p.list {
		s.acknowledge(5, now)
		if s.AckedRevision != 0 {
			t.Error("a server that was not compared acknowledges")
		}
		s.Unsure = false
		s.acknowledge(5, now)
	}
	p.heard([]identity{who("a", "1")}, now)
	if b := p.list[1]; len(p.list) != 2 || b.Present || !b.Unsure || b.AckedRevision != 5 {
		t.Errorf("b does not answer: %+v", b)
	}
	p.heard([]identity{who("a", "1"), who("b", "2")}, now)
	if b := p.list[1]; !b.Present || !b.Unsure {
		t.Errorf("b is back from where it may have missed something: %+v", b)
	}
	p.heard([]identity{who("a", "1")}, now)
	p.heard([]identity{who("a", "1"), who("b", "3")}, now)
	if len(p.list) != 2 || p.list[1].ID != "3" || p.list[1].AckedRevision != 0 || !p.list[1].Unsure {
		t.Errorf("another process has b's name: %+v", p.servers())
	}
	p.exited("3")
	p.heard([]identity{who("c", "4")}, now)
	p.forgetAbsent()
	if len(p.list) != 1 || p.list[0].ID != "4" {
		t.Errorf("after b's word, and somebody's for a: %+v", p.servers())
	}
}

func TestWhoOwesDoesNotAcknowledge(t *testing.T) {
	p := peersOf([]store.StockServer{{ID: "1", AckedRevision: 7, Present: true}, {ID: "2", AckedRevision: 9, Present: true}, {ID: "3", AckedRevision: 2, Unsure: true}})
	if p.resumeAt() != 7 {
		t.Errorf("resumes after %d, and 7 is what all that are up to date have", p.resumeAt())
	}
	p.list[0].owes["A"] = struct{}{}
	for _, s := range p.list {
		s.acknowledge(10, time.Now())
	}
	if got := p.servers(); got[0].AckedRevision != 7 || got[1].AckedRevision != 10 || got[2].AckedRevision != 2 {
		t.Errorf("acknowledged: %+v", got)
	}
	if owed := p.owed(); len(owed) != 1 || owed[0] != "A" {
		t.Errorf("owed: %v", owed)
	}
}

// Whoever answers holds an operation back, and whoever does not keeps it from being
// done: a stock server has no end by itself.
func TestStockServersInOperations(t *testing.T) {
	cluster := func(servers ...store.StockServer) []operation.Broker {
		return Servers([]store.FollowedCluster{{StockCluster: store.StockCluster{ID: "east"}, Status: store.StockStatus{Servers: servers}}})
	}
	for _, tc := range []struct {
		what    string
		servers []store.StockServer
		want    operation.State
	}{
		{"nobody is known", nil, operation.Enforced},
		{"all have it", []store.StockServer{{Present: true, AckedRevision: 5}, {Present: true, AckedRevision: 6}}, operation.Done},
		{"one has not", []store.StockServer{{Present: true, AckedRevision: 5}, {Present: true, AckedRevision: 4}}, operation.Running},
		{"one is away", []store.StockServer{{Present: true, AckedRevision: 5}, {AckedRevision: 4}}, operation.Enforced},
		{"one that is away has it", []store.StockServer{{Present: true, AckedRevision: 5}, {AckedRevision: 5}}, operation.Done},
	} {
		if got := operation.StateOf(cluster(tc.servers...), 5, time.Now().Add(1000*time.Hour)); got != tc.want {
			t.Errorf("%s: state %d, want %d", tc.what, got, tc.want)
		}
	}
}
