package meter

// Intent is one connection's note of what it is handing to the kernel: Set
// before the write, count what was taken, then Clear. If the process is killed
// in between, the note bounds what may have been delivered and not counted.
// It belongs to the connection's writer; its methods are not for two
// goroutines at once.
type Intent struct {
	slot  *intentSlot
	meter *Meter
	owned bool // the slot came from the meter's file
}

// Intent returns a connection's intent. When the file cannot grow it is one
// that a crash forgets.
func (m *Meter) Intent() *Intent {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return &Intent{slot: &intentSlot{}, meter: m}
	}
	if len(m.freeIntents) == 0 {
		if err := m.growIntents(); err != nil {
			m.log.Warn("no room for an intent in the usage file", "err", err)
			return &Intent{slot: &intentSlot{}, meter: m}
		}
	}
	n := len(m.freeIntents)
	i := &Intent{slot: m.freeIntents[n-1], meter: m, owned: true}
	m.freeIntents = m.freeIntents[:n-1]
	m.intentsOut++
	return i
}

// Set notes an upper bound of what the next write delivers.
func (i *Intent) Set(a *Account, messages, bytes uint64) {
	i.slot.messages.Store(messages)
	i.slot.bytes.Store(bytes)
	i.slot.record.Store(max(a.current.Load().self, 1)) // last: the note is valid from here on
}

// Clear says that everything noted has been counted, or was not delivered.
func (i *Intent) Clear() { i.slot.record.Store(0) }

// Release gives the intent back.
func (i *Intent) Release() {
	i.Clear()
	if !i.owned {
		return
	}
	i.owned = false
	i.meter.mu.Lock()
	defer i.meter.mu.Unlock()
	i.meter.intentsOut--
	i.meter.freeIntents = append(i.meter.freeIntents, i.slot)
	i.slot = &intentSlot{} // whoever goes on writes into nobody's note
}
