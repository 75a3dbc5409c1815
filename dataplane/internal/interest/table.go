package interest

import (
	"hash/maphash"
	"sync/atomic"
)

// entry is a key of a table with the subscriptions to it and, in the trie of
// wildcard subjects, the level below it.
//
// Most entries are of one subscription, so the size of an entry counts: it fills
// one cache line.
type entry struct {
	key    string
	queues atomic.Pointer[[]*group] // copied on change; readers take it as it is
	kids   atomic.Pointer[level]
	plain  set

	hash  uint32
	local int32 // of the plain ones, those of our own clients; guarded by the index's mutex
}

// unused reports whether nobody subscribes to the entry's subject. Call it with
// the index's mutex held.
func (e *entry) unused() bool { return e.plain.live == 0 && e.queues.Load() == nil }

// group is the members of one queue group on one subject.
type group struct {
	name   string
	set    set
	remote set // other brokers' members
}

// table maps keys to entries: open addressing, read without locks.
type table struct {
	slots atomic.Pointer[[]atomic.Pointer[entry]]
	// Guarded by the index's mutex.
	live, used int // used counts removed entries that still take a slot
}

var removed = &entry{} //nolint:gochecknoglobals // the mark of an emptied slot, never written

func (t *table) get(seed maphash.Seed, key []byte) *entry {
	slots := t.slots.Load()
	if slots == nil {
		return nil
	}
	return find(*slots, uint32(maphash.Bytes(seed, key)), key)
}

func find(slots []atomic.Pointer[entry], hash uint32, key []byte) *entry {
	mask := uint32(len(slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		e := slots[i].Load()
		if e == nil {
			return nil
		}
		if e.hash == hash && e != removed && e.key == string(key) {
			return e
		}
	}
}

// put returns the entry of key and makes it if there is none.
func (t *table) put(seed maphash.Seed, key string) *entry {
	hash := uint32(maphash.String(seed, key))
	slots := t.slots.Load()
	if slots != nil {
		if e := find(*slots, hash, []byte(key)); e != nil {
			return e
		}
	}
	if slots == nil || 4*(t.used+1) > 3*len(*slots) {
		t.grow()
		slots = t.slots.Load()
	}
	e := &entry{hash: hash, key: key}
	place(*slots, e)
	t.live++
	t.used++
	return e
}

func place(slots []atomic.Pointer[entry], e *entry) {
	mask := uint32(len(slots) - 1)
	i := e.hash & mask
	for slots[i].Load() != nil {
		i = (i + 1) & mask
	}
	slots[i].Store(e)
}

const tableMin = 4

// grow publishes a new array with the living entries at most half full.
func (t *table) grow() {
	size := tableMin
	for size < 2*(t.live+1) {
		size *= 2
	}
	next := make([]atomic.Pointer[entry], size)
	t.each(func(e *entry) { place(next, e) })
	t.used = t.live
	t.slots.Store(&next)
}

func (t *table) each(visit func(*entry)) {
	slots := t.slots.Load()
	if slots == nil {
		return
	}
	for i := range *slots {
		if e := (*slots)[i].Load(); e != nil && e != removed {
			visit(e)
		}
	}
}

func (t *table) remove(e *entry) {
	t.live--
	if t.live == 0 {
		t.used = 0
		t.slots.Store(nil)
		return
	}
	slots := *t.slots.Load()
	mask := uint32(len(slots) - 1)
	for i := e.hash & mask; ; i = (i + 1) & mask {
		if slots[i].Load() == e {
			slots[i].Store(removed)
			break
		}
	}
	if 8*t.live < len(slots) && len(slots) > tableMin {
		t.grow()
	}
}
