// Package refusals keeps a book of what clients were refused, for the audit logs
// of those whose accounts they are of: who, what and why, how often, and when first
// and last. The book is bounded whatever clients try; what does not fit is counted
// without its particulars.
//
// It is written to where somebody was refused, never where messages pass. All
// methods may be called from any goroutine.
package refusals

import (
	"strings"
	"sync"
	"time"
)

const (
	accountsMax = 512 // in the book at the same time; the rest are counted together
	linesMax    = 24  // of one account
	textMax     = 120 // bytes of a reason
)

// Kind is what was refused.
type Kind string

// The kinds.
const (
	Connect   Kind = "connect"
	Publish   Kind = "publish"
	Subscribe Kind = "subscribe"
)

// Others stands for reasons that did not fit.
const Others = "others"

// Line is what one user was refused for one reason.
type Line struct {
	Account     string // its public key; empty if it is not known
	User        string // likewise
	Kind        Kind
	Reason      string
	Count       uint64
	First, Last time.Time
}

type key struct {
	user   string
	kind   Kind
	reason string
}

// Book collects lines until they are taken.
type Book struct {
	mu       sync.Mutex
	accounts map[string]map[key]*Line
}

// NewBook returns an empty book.
func NewBook() *Book { return &Book{accounts: map[string]map[key]*Line{}} }

// Add writes down that something was refused n times.
func (b *Book) Add(account, user string, kind Kind, reason string, n uint64, now time.Time) {
	b.add(Line{Account: account, User: user, Kind: kind, Reason: reason, Count: n, First: now, Last: now})
}

func (b *Book) add(l Line) {
	if len(l.Reason) > textMax {
		l.Reason = strings.ToValidUTF8(l.Reason[:textMax], "")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	page := b.accounts[l.Account]
	if page == nil {
		if len(b.accounts) >= accountsMax && l.Account != "" {
			l.Account, l.User, l.Reason = "", "", Others
		}
		if page = b.accounts[l.Account]; page == nil {
			page = map[key]*Line{}
			b.accounts[l.Account] = page
		}
	}
	k := key{l.User, l.Kind, l.Reason}
	if page[k] == nil && len(page) >= linesMax {
		k = key{"", l.Kind, Others}
		l.User, l.Reason = "", Others
	}
	if have := page[k]; have != nil {
		have.Count += l.Count
		if l.First.Before(have.First) {
			have.First = l.First
		}
		if l.Last.After(have.Last) {
			have.Last = l.Last
		}
		return
	}
	page[k] = &l
}

// Take empties the book.
func (b *Book) Take() []Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Line
	for _, page := range b.accounts {
		for _, l := range page {
			all = append(all, *l)
		}
	}
	clear(b.accounts)
	return all
}

// Back puts lines in again that could not be told.
func (b *Book) Back(lines []Line) {
	for _, l := range lines {
		b.add(l)
	}
}
