package seen

import (
	"fmt"
	"testing"
	"time"
)

func TestACredentialIsNamedOnceInTenMinutes(t *testing.T) {
	b := NewBook()
	start := time.Unix(1_000_000, 0)
	c := Credential{"A", "U", 7}
	other := Credential{"A", "U", 8} // a later one of the same key
	var told []time.Time
	for second := range 3600 {
		now := start.Add(time.Duration(second) * time.Second)
		b.Note(c, now)
		if second == 5 {
			b.Note(other, now)
		}
		for _, l := range b.Take() {
			if l.Credential == c {
				told = append(told, l.At)
			} else if l.Credential != other || !l.At.Equal(start.Add(5*time.Second)) {
				t.Errorf("line %+v", l)
			}
		}
	}
	if len(told) < 3 || len(told) > 6 {
		t.Errorf("told %d times in an hour", len(told))
	}
	for i := 1; i < len(told); i++ {
		if told[i].Sub(told[i-1]) < again {
			t.Errorf("told at %v and at %v", told[i-1], told[i])
		}
	}
}

func TestABookIsBounded(t *testing.T) {
	b := NewBook()
	start := time.Unix(1_000_000, 0)
	for n := range 3 * notedMax {
		b.Note(Credential{"A", fmt.Sprint("U", n), 1}, start)
	}
	if lines := b.Take(); len(lines) != waitingMax || len(b.noted) != waitingMax {
		t.Errorf("%d lines, %d noted", len(lines), len(b.noted))
	}
	// What did not fit comes when it is noted again.
	late := Credential{"A", fmt.Sprint("U", 3*notedMax-1), 1}
	b.Note(late, start.Add(time.Second))
	if lines := b.Take(); len(lines) != 1 || lines[0].Credential != late {
		t.Errorf("lines %v", lines)
	}
}

func TestWhatCouldNotBeToldIsToldLater(t *testing.T) {
	b := NewBook()
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	c := Credential{"A", "U", 7}
	b.Note(c, at(1000))
	lines := b.Take()
	b.Note(c, at(3000)) // meanwhile it was seen again
	b.Back(lines)
	if again := b.Take(); len(again) != 1 || !again[0].At.Equal(at(3000)) {
		t.Errorf("lines %v", again)
	}
}
