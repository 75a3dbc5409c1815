package account

import (
	"math"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/limit"
)

// claimedQuotas returns our own limits from an account's claims: those in its
// tags, and the bytes a month for which claims have a field.
func claimedQuotas(claims *jwt.AccountClaims) (accounts.TagQuotas, error) {
	q, err := accounts.ParseQuotaTags(claims.Tags)
	if err != nil || claims.Limits.Data == jwt.NoLimit {
		return q, err
	}
	data, err := accounts.NewQuota(accounts.MonthlyBytes, accounts.Quota{Amount: claims.Limits.Data})
	if err != nil {
		return q, err
	}
	q.Own = q.Own.Lower(accounts.Quotas{accounts.MonthlyBytes: data})
	return q, nil
}

// seatedUser is what the connections of one user share in an account.
type seatedUser struct {
	name        string
	connections int64
	quotas      accounts.Quotas // of the connection that came last
	outer, gate *limit.Gate     // the account's, and the user's own behind it; nil for none
}

// users are those who have limits of their own, or had until a moment ago. A
// user that comes back finds its buckets as it left them.
type users struct {
	byName map[string]*seatedUser
	sweep  int // how many are to be looked through for those that are rested
}

// sweepMin is how many users are kept without a look at whether they are needed.
const sweepMin = 64

func (u *users) get(name string, now time.Time) *seatedUser {
	if e := u.byName[name]; e != nil {
		return e
	}
	if u.byName == nil {
		u.byName, u.sweep = make(map[string]*seatedUser), sweepMin
	}
	if len(u.byName) >= u.sweep {
		for name, e := range u.byName {
			if e.connections == 0 && e.gate.Rested(now) {
				delete(u.byName, name)
			}
		}
		u.sweep = max(sweepMin, 2*len(u.byName))
	}
	e := &seatedUser{name: name}
	u.byName[name] = e
	return e
}

func (u *users) leave(e *seatedUser, now time.Time) {
	if e == nil {
		return
	}
	if e.connections--; e.connections == 0 && e.gate.Rested(now) && u.byName[e.name] == e {
		delete(u.byName, e.name)
	}
}

// userConnections returns how many connections a user may have, or NoLimit.
func (s *State) userConnections(id *Identity) int64 {
	most := int64(math.MaxInt64)
	for _, quotas := range [...]accounts.Quotas{s.Quotas, id.Quotas} {
		if q, ok := quotas[accounts.UserConnections]; ok {
			most = min(most, q.Amount)
		}
	}
	if most == math.MaxInt64 {
		return NoLimit
	}
	return most
}

// user returns what a user's connections share, with its gate as it is to be
// now; nil if the user has no limits of its own. Call it with mu held.
func (a *Account) user(id *Identity, now time.Time) *seatedUser {
	if len(id.Quotas) == 0 && a.State().userConnections(id) == NoLimit {
		return nil
	}
	e := a.users.get(id.User, now)
	if e.outer != a.gate || !e.quotas.Equal(id.Quotas) {
		e.outer, e.quotas = a.gate, id.Quotas
		if e.gate = limit.NewGate(a.gate, id.Quotas, e.gate, now); e.gate == a.gate {
			e.gate = nil
		}
	}
	return e
}

// seatUser counts a connection of a user in. Call it with mu held.
func (a *Account) seatUser(id *Identity, now time.Time) (*seatedUser, *Refusal) {
	e := a.user(id, now)
	if e == nil {
		return nil, nil
	}
	if most := a.State().userConnections(id); most != NoLimit && e.connections >= most {
		return nil, TooManyUserConnections
	}
	e.connections++
	return e, nil
}

// reseat gives a member the place that its identity has now. It stays connected
// even if its user has too many connections by now: who came first is not known.
func (a *Account) reseat(m Member, is *Identity, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	seat := a.seat(m)
	if seat == nil {
		return // it left meanwhile
	}
	was := seat.user
	if seat.user = a.user(is, now); seat.user != was {
		if seat.user != nil {
			seat.user.connections++
		}
		a.users.leave(was, now)
	}
}

// seat returns the place of a member, nil if it is none. Call it with mu held. A
// connection that is about to leave is nobody first, and cannot leave before mu is
// free; so while it says that it belongs here its seat is nobody else's to write.
func (a *Account) seat(m Member) *Seat {
	if id := m.Identity(); id == nil || id.Account != a {
		return nil
	}
	if s := m.Seat(); s.member == m {
		return s
	}
	return nil
}

// Gate returns what limits the rates of a member; nil if nothing does. It reports
// false if m is not a member.
func (a *Account) Gate(m Member) (*limit.Gate, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	seat := a.seat(m)
	if seat == nil {
		return nil, false
	}
	if seat.user != nil && seat.user.gate != nil {
		return seat.user.gate, true
	}
	return a.gate, true
}

// Connecting asks the rates of the account and of the user whether a new
// connection may be made.
func (a *Account) Connecting(id *Identity) limit.Verdict {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	gate := a.gate
	if user := a.user(id, now); user != nil && user.gate != nil {
		gate = user.gate
	}
	if gate == nil {
		return limit.Verdict{}
	}
	return gate.Connect(now)
}

// Subscribed counts a subscription of a member in, if the account may have more.
func (a *Account) Subscribed() (accounts.Policy, bool) {
	n := a.subscriptions.Add(1)
	if q, ok := a.State().Quotas[accounts.Subscriptions]; ok && n > q.Amount {
		a.subscriptions.Add(-1)
		return q.Policy, false
	}
	return "", true
}

// Unsubscribed counts one out.
func (a *Account) Unsubscribed() { a.subscriptions.Add(-1) }

// boundBacklog puts the account's budget of pending bytes in force, and its
// weight.
func (a *Account) boundBacklog(s *State) {
	q := s.Quotas[accounts.PendingBytes]
	a.Backlog.Set(q.Amount, q.Policy == accounts.Drop)
	a.Turns.SetWeight(s.Quotas[accounts.Weight].Amount)
}

// regate puts the account's rates in force. Call it with mu held, or before
// anybody knows the account.
func (a *Account) regate(s *State, now time.Time) {
	if _, ok := s.Quotas[accounts.MonthlyBytes]; !ok {
		a.Month.Store(nil)
	} else if a.Month.Load() == nil {
		a.Month.Store(a.months.Of(a.Key))
	}
	previous := a.gate
	a.gate = limit.NewAccountGate(nil, s.Quotas, previous, a.Month.Load(), now)
	a.rated.begin(a, a.gate, previous, now)
}

// keep says where the data of the month is kept, and who looks after rates. Call
// it before anybody knows the account.
func (a *Account) keep(m *limit.Months, rated *Rated) {
	a.months, a.rated = m, rated
	a.gate = nil // its rates begin here
	a.Month.Store(nil)
	a.regate(a.State(), time.Now())
}
