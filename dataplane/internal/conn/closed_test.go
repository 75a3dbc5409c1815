package conn

import (
	"strconv"
	"testing"
)

func ended(id uint64, subs int) *Closed {
	return &Closed{Status: Status{ID: id, Subscriptions: subs}, Reason: "because", List: make([]SubscriptionStatus, subs)}
}

func TestClosedRingKeepsTheLast(t *testing.T) {
	for _, most := range []int{1, 2, 7} {
		h := &Host{}
		for i := uint64(1); i <= 20; i++ {
			h.closed.add(ended(i, 0), most)
			all := h.Closed()
			if want := min(int(i), most); len(all) != want {
				t.Fatalf("of %d, %d are kept, want %d", i, len(all), want)
			}
			for j, c := range all {
				if want := i - uint64(len(all)) + uint64(j) + 1; c.ID != want {
					t.Fatalf("after %d, entry %d is %d, want %d", i, j, c.ID, want)
				}
			}
		}
		if n := h.ClosedReasons()["because"]; n != 20 {
			t.Errorf("%d are counted, want 20", n)
		}
	}
}

func TestClosedRingMayKeepNone(t *testing.T) {
	h := &Host{}
	h.closed.add(ended(1, 3), 0)
	if len(h.Closed()) != 0 || h.ClosedReasons()["because"] != 1 {
		t.Errorf("kept %d, counted %v", len(h.Closed()), h.ClosedReasons())
	}
}

// However many subscriptions connections had, the memory for their lists is
// bounded; the lists of the oldest go, their entries stay.
func TestClosedRingBoundsSubscriptions(t *testing.T) {
	const each = 1000
	h := &Host{}
	for i := uint64(1); i <= 500; i++ {
		h.closed.add(ended(i, each), 200)
		kept, bare := 0, true
		for _, c := range h.Closed() {
			if kept += len(c.List); len(c.List) > 0 {
				bare = false
			} else if !bare {
				t.Fatalf("%d lost its list before an older one", c.ID)
			}
			if c.Subscriptions != each {
				t.Fatalf("%d has %d subscriptions", c.ID, c.Subscriptions)
			}
		}
		if kept != h.closed.listed || kept > closedSubsMax || kept < min(int(i)*each, closedSubsMax-each) {
			t.Fatalf("after %d, %d subscriptions are kept and %d counted", i, kept, h.closed.listed)
		}
	}
}

// A reload may lower how many are kept.
func TestClosedRingShrinks(t *testing.T) {
	h := &Host{}
	for i := uint64(1); i <= 10; i++ {
		h.closed.add(ended(i, 1), 8)
	}
	h.closed.add(ended(11, 1), 3)
	all := h.Closed()
	ids := ""
	for _, c := range all {
		ids += strconv.FormatUint(c.ID, 10) + " "
	}
	if ids != "9 10 11 " || h.closed.listed != 3 {
		t.Errorf("kept %s with %d subscriptions", ids, h.closed.listed)
	}
	for i := uint64(12); i <= 20; i++ {
		h.closed.add(ended(i, 1), 5)
	}
	if all := h.Closed(); len(all) != 5 || all[0].ID != 16 || all[4].ID != 20 {
		t.Errorf("kept %d from %d", len(all), all[0].ID)
	}
}
