package account

// Traffic is messages and their bytes, in and out.
type Traffic struct {
	InMessages, InBytes, OutMessages, OutBytes uint64
}

// Add adds o.
func (t *Traffic) Add(o Traffic) {
	t.InMessages += o.InMessages
	t.InBytes += o.InBytes
	t.OutMessages += o.OutMessages
	t.OutBytes += o.OutBytes
}

// Subtract takes off o, an earlier value of the same counters.
func (t *Traffic) Subtract(o Traffic) {
	t.InMessages -= o.InMessages
	t.InBytes -= o.InBytes
	t.OutMessages -= o.OutMessages
	t.OutBytes -= o.OutBytes
}

// Carrier is a member that counts what goes through it.
type Carrier interface {
	// AccountTraffic returns what went through it since it joined. It takes no
	// locks.
	AccountTraffic() Traffic
}

func carried(m Member) Traffic {
	if c, ok := m.(Carrier); ok {
		return c.AccountTraffic()
	}
	return Traffic{}
}

// Traffic returns what went through all members, past and present, since the
// account was loaded, and how many members there are. It never falls.
func (a *Account) Traffic() (Traffic, int) {
	a.mu.Lock()
	members := a.members.all()
	sum := a.past
	a.mu.Unlock()
	for _, m := range members {
		sum.Add(carried(m))
	}
	return sum, len(members)
}
