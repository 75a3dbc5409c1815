package refusals

import (
	"fmt"
	"testing"
	"time"
)

func TestABookIsBoundedAndLosesNoCount(t *testing.T) {
	b := NewBook()
	start := time.Unix(1000, 0)
	const tries = 100_000
	for n := range tries {
		b.Add(fmt.Sprint("A", n%2000), fmt.Sprint("U", n), Connect, fmt.Sprint("reason ", n%50), 1, start.Add(time.Duration(n)*time.Millisecond))
	}
	lines := b.Take()
	if most := (accountsMax + 1) * (linesMax + 3); len(lines) > most {
		t.Errorf("%d lines, more than %d", len(lines), most)
	}
	var total uint64
	for _, l := range lines {
		total += l.Count
		if l.First.After(l.Last) || l.First.Before(start) {
			t.Errorf("line %+v", l)
		}
	}
	if total != tries {
		t.Errorf("%d are counted of %d", total, tries)
	}
	if again := b.Take(); len(again) != 0 {
		t.Errorf("taken twice: %v", again)
	}
}

func TestALineMergesWhatIsTheSame(t *testing.T) {
	b := NewBook()
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	b.Add("A", "U", Publish, "no", 3, at(10))
	b.Add("A", "U", Publish, "no", 2, at(20))
	b.Back([]Line{{Account: "A", User: "U", Kind: Publish, Reason: "no", Count: 1, First: at(5), Last: at(6)}})
	b.Add("A", "U", Subscribe, "no", 1, at(20))
	for _, l := range b.Take() {
		if l.Kind == Publish && (l.Count != 6 || !l.First.Equal(at(5)) || !l.Last.Equal(at(20))) {
			t.Errorf("merged: %+v", l)
		}
	}
}
