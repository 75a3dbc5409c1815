package account

// elsewhere is how many connections an account has at other brokers, by their
// server id. Guarded by the account's mutex.
type elsewhere struct {
	by  map[string]int64
	n   int64
	met bool // the others were asked
}

// Met reports whether the other brokers were asked for their connections already,
// and that they are, by who asks.
func (a *Account) Met() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	met := a.elsewhere.met
	a.elsewhere.met = true
	return met
}

// Elsewhere notes how many connections the account has at another broker. If the
// account has too many with that, its newest ones here end: as many as are this
// broker's share of what is too much, since the others hear of ours likewise.
func (a *Account) Elsewhere(server string, connections int64) {
	a.mu.Lock()
	a.elsewhere.n += connections - a.elsewhere.by[server]
	switch {
	case connections == 0:
		delete(a.elsewhere.by, server)
	case a.elsewhere.by == nil:
		a.elsewhere.by = map[string]int64{server: connections}
	default:
		a.elsewhere.by[server] = connections
	}
	newest := a.tooMany()
	a.mu.Unlock()
	for _, m := range newest {
		m.Disconnect(TooManyAccountConnections)
	}
}

// tooMany returns the members that are to go. Call it with mu held.
func (a *Account) tooMany() []Member {
	limit, own := a.State().Limits.Connections, int64(a.members.n)
	all := own + a.elsewhere.n
	if limit == NoLimit || all <= limit || own == 0 || a.elsewhere.n == 0 {
		return nil
	}
	share := ((all-limit)*own + all - 1) / all
	return a.members.all()[own-min(share, own):]
}

// Others returns the brokers at which the account has connections.
func (a *Account) Others() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]string, 0, len(a.elsewhere.by))
	for server := range a.elsewhere.by {
		out = append(out, server)
	}
	return out
}
