package ration

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/coveymq/covey/dataplane/internal/limit"
)

// Account is one whose rates are divided.
type Account interface {
	// Rates returns its rates as they are now.
	Rates() []limit.Rate
	// Members returns how many connections it has here.
	Members() int
}

// Word is what a broker says of one account.
type Word struct {
	Account string `json:"account"`
	// Gone says that it has no connections there, or no more.
	Gone bool `json:"gone,omitempty"`
	// New says that it has some since a moment ago: everybody is to answer, also
	// where it has none.
	New bool `json:"new,omitempty"`
	// Rates are its demands by the rates' names.
	Rates map[string]Demand `json:"rates,omitempty"`
}

// Interval is how often Tick is to be called. What one broker says must reach the
// others in less.
const Interval = 100 * time.Millisecond

const (
	// settling is for how many Ticks an account that is new here keeps what it
	// began with at least: until what the others say is known to them, too. It keeps
	// that until all of them have answered, though no longer than patience, since they
	// may not know that they are to.
	settling = 3
	patience = 20
	// refresh is after how many Ticks everything is said again of accounts that are
	// shared, in case that somebody missed it, and presence of the others; stale is
	// after how many nothing is believed any more.
	refresh  = 50
	presence = 12 * refresh
	stale    = 3 * refresh
	// hungry is for how many Ticks who was short counts as such.
	hungry = 10
	// smoothing is how much of a Tick's use goes into the average.
	smoothing = 0.2
	// absentMax bounds how many accounts it is said of that they are not here, at a
	// time. Of others those who wait lose patience.
	absentMax = 10_000
	// A use is said again when it changed by a tenth, or by a fiftieth of the rate.
	changeOfUse, changeOfRate = 0.1, 0.02
)

// Table is a broker's view of all accounts whose rates are divided.
type Table struct {
	mu       sync.Mutex
	kin      []string // the other brokers that divide rates; guarded by mu, as is all below
	accounts map[string]*entry
	active   map[*entry]bool // those that have to be looked at with each Tick
	ticks    uint64
	unknown  bool            // an account was told of that is not here, as far as is known
	absent   map[string]bool // accounts for which somebody waits to hear that they are not here
}

// entry is an account that has connections here.
type entry struct {
	key     string
	account Account
	born    uint64 // the Tick
	meters  map[string]*meter
	others  map[string]*other // by broker
	heard   map[string]bool   // who has said anything of it since it is here
	tell    bool              // with the next Tick, whatever changed
	fresh   bool              // nobody has been told
}

// other is what another broker said.
type other struct {
	word  Word
	heard uint64 // the Tick
}

// meter measures the demand of one rate.
type meter struct {
	used   float64 // a second
	at     uint64  // the Tick of the last sample
	fed    uint64  // the last Tick that somebody was short in; 0 for never
	told   Demand
	before int64 // the part that was right at the last Tick
}

// NewTable returns a table of no accounts.
func NewTable() *Table {
	return &Table{accounts: make(map[string]*entry), active: make(map[*entry]bool), absent: make(map[string]bool)}
}

// Joined notes that an account has a connection here. If it had none it has what
// an account begins with, until the others have said what they know of it.
func (t *Table) Joined(key string, a Account, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.kin) == 0 {
		return
	}
	if e := t.accounts[key]; e != nil && e.account == a {
		return
	}
	t.add(key, a, t.ticks)
	for _, r := range a.Rates() {
		r.SetPart(min(r.Part(), t.begin()), now)
	}
}

func (t *Table) add(key string, a Account, born uint64) {
	if old := t.accounts[key]; old != nil {
		delete(t.active, old)
	}
	e := &entry{key: key, account: a, born: born, meters: make(map[string]*meter), others: make(map[string]*other), heard: make(map[string]bool), tell: true, fresh: true}
	t.accounts[key], t.active[e] = e, true
}

// Kin says which other brokers divide rates now, and calls each for all accounts
// with rates and connections when they are others than before: who came has to
// hear of them. What those said who left is forgotten. It returns what part of
// its rates an account begins with.
func (t *Table) Kin(kin []string, each func(func(key string, a Account))) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.Equal(kin, t.kin) {
		return t.begin()
	}
	t.kin = slices.Clone(kin)
	each(func(key string, a Account) {
		if e := t.accounts[key]; (e == nil || e.account != a) && len(kin) > 0 {
			t.add(key, a, t.ticks-patience) // it was here before the others were
		}
	})
	for _, e := range t.accounts {
		maps.DeleteFunc(e.others, func(id string, _ *other) bool { return !slices.Contains(kin, id) })
		e.tell, t.active[e] = true, true
	}
	return t.begin()
}

func (t *Table) begin() int64 { return limit.Whole / int64(len(t.kin)+1) }

// Hear notes what another broker says.
func (t *Table) Hear(from string, words []Word, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range words {
		e := t.accounts[w.Account]
		switch {
		case e == nil:
			t.unknown = true // who comes here is heard of, and told
			if w.New && len(t.absent) < absentMax {
				t.absent[w.Account] = true
			}
			continue
		case w.Gone:
			delete(e.others, from)
		default:
			e.tell = e.tell || w.New || e.others[from] == nil
			e.others[from] = &other{w, t.ticks}
		}
		e.heard[from], t.active[e] = true, true
		t.divide(e, now, false)
	}
}

// Tick measures, puts in force what follows from what all have said, and returns
// what the others are to hear.
func (t *Table) Tick(now time.Time) []Word {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ticks++
	again := t.ticks%refresh == 0
	if t.ticks%presence == 0 {
		for _, e := range t.accounts {
			t.active[e] = true
		}
	}
	var words []Word
	for e := range t.active {
		if e.account.Members() == 0 || len(e.account.Rates()) == 0 {
			t.drop(e, now)
			words = append(words, Word{Account: e.key, Gone: true})
			continue
		}
		if e.measure(t.ticks) || e.tell || again {
			words = append(words, e.word())
			e.tell, e.fresh = false, false
		}
		maps.DeleteFunc(e.others, func(_ string, o *other) bool { return t.ticks-o.heard > stale })
		if t.divide(e, now, true) && len(e.others) == 0 {
			delete(t.active, e) // it is alone, until somebody says otherwise
			e.rest()
		}
	}
	for key := range t.absent {
		if t.accounts[key] == nil {
			words = append(words, Word{Account: key, Gone: true})
		}
	}
	clear(t.absent)
	return words
}

// divide puts in force what follows for an account. It reports whether there is
// nothing left to come.
func (t *Table) divide(e *entry, now time.Time, ticking bool) (done bool) {
	settled := t.ticks >= e.born+settling
	for _, id := range t.kin {
		settled = settled && e.heard[id]
	}
	return e.divide(now, ticking, settled || t.ticks >= e.born+patience)
}

// drop forgets an account that has no connections any more. Who connects next
// begins with what anybody begins with.
func (t *Table) drop(e *entry, now time.Time) {
	delete(t.active, e)
	delete(t.accounts, e.key)
	for _, r := range e.account.Rates() {
		r.SetPart(t.begin(), now)
	}
}

// Missed reports whether somebody told of an account that is not known here, since
// the last time: it may have got rates after its connections.
func (t *Table) Missed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.unknown
	t.unknown = false
	return was
}

// Look looks for what Tick and Joined do not see: accounts that have no
// connections any more but were shared with nobody, and those that got rates
// after their connections. Each calls for all with rates and connections.
func (t *Table) Look(each func(func(key string, a Account))) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.accounts {
		if e.account.Members() == 0 {
			t.active[e] = true
		}
	}
	each(func(key string, a Account) {
		if e := t.accounts[key]; (e == nil || e.account != a) && len(t.kin) > 0 {
			t.add(key, a, t.ticks)
		}
	})
}
