// Package account is the runtime of accounts in a broker: each one's
// subscriptions, members, limits and rules, and the registry that loads them.
//
// An account costs no goroutine, timer or client object. What its claims say is
// an immutable State behind an atomic pointer: readers take it as it is, and an
// update swaps it and then looks at the members once. The registry's and the
// accounts' mutexes are never held together, nor while anything is sent.
package account

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/limit"
	"github.com/coveymq/covey/dataplane/internal/permission"
	"github.com/coveymq/covey/dataplane/internal/share"
	"github.com/coveymq/covey/dataplane/internal/turn"
)

// Usage is the account's billing words.
type Usage interface {
	// Published counts messages that were admitted.
	Published(messages, bytes uint64)
	// Delivered counts messages that the kernel took.
	Delivered(messages, bytes uint64)
	// Release gives the words back; what they counted stays.
	Release()
}

// NoUsage counts nothing.
type NoUsage struct{}

// Published does nothing.
func (NoUsage) Published(uint64, uint64) {}

// Delivered does nothing.
func (NoUsage) Delivered(uint64, uint64) {}

// Release does nothing.
func (NoUsage) Release() {}

// NoLimit marks a limit that is not set.
const NoLimit = -1

// Limits of an account or of one user. NoLimit means none.
type Limits struct {
	Connections   int64
	Leafs         int64
	Subscriptions int64 // per connection, as in nats-server
	Payload       int64 // bytes of one message
}

// State is what the claims of an account say. Immutable.
type State struct {
	Revision    int64 // 0 for accounts from a configuration file
	Name        string
	Issuer      string   // the operator key that signed the claims; empty without claims
	Tags        []string // of the claims
	Limits      Limits
	Quotas      accounts.Quotas   // our own limits
	Signers     map[string]*Scope // the keys that may sign users; a nil Scope is an unscoped key
	Revocations map[string]int64  // user key, or "*", to the Unix second until which issues are void
	Expires     int64             // Unix second; 0 for never
	Default     *permission.Set   // for users without permissions of their own
	NoBearer    bool              // users whose JWT needs no signature are refused
	Terms       *share.Terms      // what is shared with other accounts; nil for nothing
	Faults      []string          // what of the claims could not be put in force
	Tracing     *Tracing          // of messages with a traceparent; nil for none
	Deleted     bool
	External    *External // who decides about users; nil for the claims alone

	token string // what was decoded; see Registry.Refresh
}

// Tracing says where to tell what became of messages whose sender samples them
// with a W3C traceparent.
type Tracing struct {
	Dest     string
	Sampling int // of a hundred
}

// Scope is a role: what every user signed with its key may do.
type Scope struct {
	Role     string
	Rules    *Rules
	Quotas   accounts.Quotas
	Template UserTemplate
}

// Identity is who a connection is. Immutable.
type Identity struct {
	Account     *Account
	State       *State // what of the account the rest was made from; nil without a JWT
	User        string // public key, or the configured name
	Name        string // for people
	Shown       string // what stands for User where users are shown; empty for that itself
	Tags        []string
	Issuer      string // the key that signed the user; empty without a JWT
	IssuedAt    int64  // Unix second
	Expires     int64  // Unix second; 0 for never
	Remote      netip.Addr
	External    bool     // a service said who it is
	Claimed     *Claimed // what its JWT says; nil without one
	Permissions *permission.Set
	Limits      Limits
	Quotas      accounts.Quotas // our own limits, of the user alone
}

// Who is the user where users are shown.
func (id *Identity) Who() string { return cmp.Or(id.Shown, id.User) }

// Member is a connection that belongs to an account.
type Member interface {
	// Identity returns who it is; nil if it is nobody any more.
	Identity() *Identity
	// Disconnect ends the connection for a reason, soon. It must not block.
	Disconnect(*Refusal)
	// Adopt puts another identity of the same user in force, and the account's
	// limits as they are now. It does nothing if the connection is not who it was.
	Adopt(was, is *Identity)
	// Seat is the account's to use. It is always the same one.
	Seat() *Seat
}

// Account is one isolated messaging world.
type Account struct {
	// Immutable.
	Key   string // public key, or the configured name
	Index *interest.Index
	Usage Usage
	// Month counts the data of the month; nil if there is no bound to it.
	Month atomic.Pointer[limit.Month]
	// Turns are the account's part in the processors.
	Turns turn.Share
	// Backlog is what waits for all members.
	Backlog egress.Budget

	state   atomic.Pointer[State]
	links   atomic.Pointer[Links]
	answers atomic.Pointer[answers] // nil until its services were asked; written under mu
	sweeper *sweeper                // immutable once others see the account; nil without a registry
	rated   *Rated                  // likewise
	updated atomic.Int64            // Unix nanosecond of when the state came into force

	// SlowConsumers counts members that were given up for being too slow.
	SlowConsumers atomic.Uint64
	// Shed counts what limits kept out.
	Shed          Shed
	subscriptions atomic.Int64 // of all members
	// Routed counts messages to and from other brokers.
	Routed struct{ Sent, Received egress.Tally }

	applying sync.Mutex // held while a state is put in force; taken before mu
	linking  sync.Mutex // held while links are; taken before mu

	mu        sync.Mutex
	members   members // guarded by mu, as is all below
	elsewhere elsewhere
	gate      *limit.Gate
	months    *limit.Months // where data of the month is kept; nil for in no file
	users     users
	past      Traffic   // of members that have left
	idle      time.Time // since when there are none
	retired   bool      // evicted or deleted: nobody may join any more
	closed    bool      // Usage was given back
	pinned    bool      // stays loaded without members
}

// New returns an account with a state.
func New(key string, usage Usage, s *State) *Account {
	now := time.Now()
	a := &Account{Key: key, Index: interest.New(), Usage: usage}
	a.state.Store(s)
	a.boundBacklog(s)
	a.regate(s, now)
	a.link(s)
	a.updated.Store(now.UnixNano())
	return a
}

// Token returns the claims that the state is from, signed; empty for an account of a
// configuration file.
func (s *State) Token() string { return s.token }

// State returns what is in force now.
func (a *Account) State() *State { return a.state.Load() }

// Updated returns since when it is.
func (a *Account) Updated() time.Time { return time.Unix(0, a.updated.Load()) }

// Errors of Join after which the connection is to be authenticated again.
var (
	// ErrRetired is an account that was evicted meanwhile: get it from the
	// registry again.
	ErrRetired = errors.New("account was evicted")
	// ErrChanged is an account that has a new state: the identity may have been
	// given permissions that no longer hold.
	ErrChanged = errors.New("account has changed")
)

// Join makes m a member. The error is ErrRetired or ErrChanged, or a *Refusal
// when a limit or the account's state forbids it.
func (a *Account) Join(m Member) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.retired {
		return ErrRetired
	}
	s := a.State()
	if made := m.Identity().State; made != nil && made != s {
		return ErrChanged
	}
	now := time.Now()
	if r := s.Admits(m.Identity(), now); r != nil {
		return r
	}
	if n := s.Limits.Connections; n != NoLimit && int64(a.members.n)+a.elsewhere.n >= n {
		return TooManyAccountConnections
	}
	user, r := a.seatUser(m.Identity(), now)
	if r != nil {
		return r
	}
	a.members.add(m)
	m.Seat().user = user
	return nil
}

// Leave ends a membership. It reports whether m was a member.
func (a *Account) Leave(m Member) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	user := m.Seat().user
	if !a.members.remove(m) {
		return false
	}
	a.users.leave(user, time.Now())
	a.past.Add(carried(m))
	if a.members.n == 0 {
		a.idle = time.Now()
		a.closeIfOver()
	}
	return true
}

// Pin keeps the account loaded while it has no members, because the broker itself
// uses it. It reports false if it is too late for that: get the account again.
func (a *Account) Pin() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pinned = !a.retired
	return a.pinned
}

// retire marks an account without members as evicted. It reports false if it
// has members or is pinned.
func (a *Account) retire() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.members.n > 0 || a.pinned {
		return false
	}
	a.retired = true
	a.closeIfOver()
	return true
}

// end marks an account as deleted. Its members are on their way out.
func (a *Account) end(revision int64) {
	a.mu.Lock()
	a.retired = true
	a.closeIfOver()
	a.mu.Unlock()
	a.Apply(&State{Revision: revision, Deleted: true})
}

// closeIfOver gives the usage words back once the last member of a retired
// account is gone, and with it everybody who counts. Call it with mu held.
func (a *Account) closeIfOver() {
	if a.retired && a.members.n == 0 && !a.closed {
		a.closed = true
		a.Usage.Release()
	}
}

// Members returns how many connections the account has.
func (a *Account) Members() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.members.n
}

// MembersOf returns how many connections there are of some users, and of all
// whose JWTs some keys have signed; without either it is all.
func (a *Account) MembersOf(users, issuers []string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(users)+len(issuers) == 0 {
		return a.members.n
	}
	n := 0
	for _, m := range a.members.all() {
		if id := m.Identity(); id != nil && (slices.Contains(users, id.User) || id.Issuer != "" && slices.Contains(issuers, id.Issuer)) {
			n++
		}
	}
	return n
}

// idleFor reports whether an account with claims has had no members for a while.
func (a *Account) idleFor(now time.Time, after time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.members.n == 0 && !a.pinned && now.Sub(a.idle) >= after && a.State().Revision != 0
}

// Apply puts a new state in force: when it returns, nothing more is staged for a
// member that the state forbids, and it is heard no longer than to the end of
// the batch being read from it. Members over the connection limit go newest
// first. Nobody's JWT is verified again.
func (a *Account) Apply(s *State) {
	a.applying.Lock()
	defer a.applying.Unlock()
	now := time.Now()
	a.mu.Lock()
	a.state.Store(s)
	a.boundBacklog(s)
	a.link(s)
	a.updated.Store(now.UnixNano())
	a.regate(s, now)
	members := a.members.all()
	a.mu.Unlock()

	kept := int64(0)
	for _, m := range members {
		was := m.Identity()
		if was == nil || was.Account != a {
			continue // it left just now, to be somebody else, or is that already
		}
		is, refusal := s.Fit(was, now)
		if refusal == nil && s.Limits.Connections != NoLimit && kept >= s.Limits.Connections {
			refusal = TooManyAccountConnections
		}
		if refusal != nil {
			if m.Identity() == was { // who became somebody else meanwhile was looked at for that
				m.Disconnect(refusal)
			}
			continue
		}
		kept++
		a.reseat(m, is, now)
		m.Adopt(was, is)
	}
}

// Admits says whether a user may be connected under this state.
func (s *State) Admits(id *Identity, now time.Time) *Refusal {
	switch {
	case s.Deleted:
		return AccountGone
	case s.Expires != 0 && now.Unix() >= s.Expires:
		return AccountExpired
	case id.Issuer == "":
		return nil
	case s.revoked(id):
		return Revoked
	}
	if _, ok := s.Signers[id.Issuer]; !ok {
		return SignerGone
	}
	if id.Expires != 0 && now.Unix() >= id.Expires {
		return UserExpired
	}
	return nil
}

func (s *State) revoked(id *Identity) bool {
	for _, key := range [...]string{id.User, "*"} {
		if until, ok := s.Revocations[key]; ok && id.IssuedAt <= until {
			return true
		}
	}
	return false
}

// UserTemplate makes the permissions of a user from its role.
type UserTemplate func(*Identity) (*permission.Set, error)
