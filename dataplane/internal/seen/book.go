// Package seen keeps a book of the credentials that clients are connected with, so
// that the control plane can say of each when it was last seen. It knows neither
// connections nor the control plane. The book is bounded, and names a credential at
// most once in ten minutes; what does not fit is left out, and comes when it is
// noted the next time.
//
// It is written to when somebody connects or leaves, and now and then for those who
// stay, never where messages pass. All methods may be called from any goroutine.
package seen

import (
	"sync"
	"time"
)

const (
	again      = 10 * time.Minute // the least time between two lines of one credential
	notedMax   = 64 << 10         // credentials noted in such a time
	waitingMax = 32 << 10         // lines that wait to be told
)

// Credential says which credential it is: whose, and which of those that were issued
// to the same key.
type Credential struct {
	Account, User string // public keys
	IssuedAt      int64  // Unix second
}

// Line is a credential and when it was seen last.
type Line struct {
	Credential
	At time.Time
}

// Book collects lines until they are taken.
type Book struct {
	mu      sync.Mutex
	began   time.Time               // of noted
	noted   map[Credential]struct{} // what is not to be noted again soon
	before  map[Credential]struct{} // what was noted in the time before
	waiting map[Credential]time.Time
}

// NewBook returns an empty book.
func NewBook() *Book {
	return &Book{noted: map[Credential]struct{}{}, waiting: map[Credential]time.Time{}}
}

// Note writes down that a client is connected with a credential.
func (b *Book) Note(c Credential, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if past := now.Sub(b.began); past >= again {
		b.before = nil
		if past < 2*again {
			b.before = b.noted
		}
		b.noted, b.began = map[Credential]struct{}{}, now
	}
	if _, done := b.noted[c]; done {
		return
	}
	if _, done := b.before[c]; done || len(b.noted) >= notedMax {
		return
	}
	if b.wait(c, now) {
		b.noted[c] = struct{}{}
	}
}

// wait reports whether the credential waits now. Called with the lock held.
func (b *Book) wait(c Credential, at time.Time) bool {
	have, waits := b.waiting[c]
	if !waits && len(b.waiting) >= waitingMax {
		return false
	}
	if at.After(have) {
		b.waiting[c] = at
	}
	return true
}

// Take takes what waits out of the book.
func (b *Book) Take() []Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		return nil
	}
	lines := make([]Line, 0, len(b.waiting))
	for c, at := range b.waiting {
		lines = append(lines, Line{c, at})
	}
	b.waiting = map[Credential]time.Time{}
	return lines
}

// Back puts lines in again that could not be told.
func (b *Book) Back(lines []Line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range lines {
		b.wait(l.Credential, l.At)
	}
}
