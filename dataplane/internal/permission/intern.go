package permission

import (
	"runtime"
	"strconv"
	"strings"
	"sync"
	"weak"
)

// sets holds the rules in use, so that those who may do the same share one Set:
// with many accounts there are few roles. It keeps none of them alive.
var sets struct { //nolint:gochecknoglobals // sharing is the point
	mu     sync.Mutex
	byText map[string]weak.Pointer[Set] // guarded by mu
}

// shared returns the set in use with the same rules as s, s itself if there is
// none.
func shared(s *Set) *Set {
	text := s.text()
	sets.mu.Lock()
	defer sets.mu.Unlock()
	if same := sets.byText[text].Value(); same != nil {
		return same
	}
	if sets.byText == nil {
		sets.byText = make(map[string]weak.Pointer[Set])
	}
	sets.byText[text] = weak.Make(s)
	runtime.AddCleanup(s, forget, text)
	return s
}

// forget drops a set that nobody uses any more, unless there is another one with
// its rules meanwhile.
func forget(text string) {
	sets.mu.Lock()
	defer sets.mu.Unlock()
	if sets.byText[text].Value() == nil {
		delete(sets.byText, text)
	}
}

// text says all there is to the rules, and differs where they differ.
func (s *Set) text() string {
	var b strings.Builder
	list := func(none bool, n int, entry func(int) string) {
		if none {
			b.WriteByte('-')
		}
		for i := range n {
			b.WriteString(strconv.Quote(entry(i)))
		}
		b.WriteByte(';')
	}
	list(s.pubAllow == nil, len(s.pubAllow), func(i int) string { return s.pubAllow[i] })
	list(s.pubDeny == nil, len(s.pubDeny), func(i int) string { return s.pubDeny[i] })
	for _, rules := range [][]rule{s.subAllow, s.subDeny} {
		list(rules == nil, 2*len(rules), func(i int) string {
			if i%2 == 0 {
				return rules[i/2].subject
			}
			return rules[i/2].queue
		})
	}
	if r := s.responses; r != nil {
		b.WriteString(strconv.Itoa(r.Max) + " " + r.Expires.String())
	}
	return b.String()
}
