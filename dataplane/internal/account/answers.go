package account

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/share"
)

// Answer is the right to answer one request that came through a service import:
// what is published to Subject in the exporter's account goes to the asker's
// account as Reply.
type Answer struct {
	// Immutable.
	Subject string
	To      *Account
	Reply   string
	Service *share.Export
	Asked   time.Time
	Waiter  Waiter // nil if nobody wants to hear of it
	Trace   bool   // what is published are events of a traced message, any number

	// Guarded by the mutex of the answers.
	due        time.Time
	line       *line
	prev, next *Answer
	given      bool // and kept for its waiter only, see Linger
}

// Waiter is who measures a request.
type Waiter interface {
	// Lapsed says that an answer comes no more: it was not given in time, or pushed
	// out by too many others. It is called without a lock held.
	Lapsed(*Answer)
	// Suffix ends the subject of the answer; empty for nothing.
	Suffix() string
}

// answersMax bounds what one importer may have asked of a service with one
// threshold and not been answered. Beyond it the oldest question is given up.
const answersMax = 1 << 16

// answers are those that an account's services owe. An account without such
// services has none.
type answers struct {
	prefix   string // immutable
	interest *interest.Sub

	mu        sync.Mutex
	bySubject map[string]*Answer // guarded by mu, as is all below
	lines     map[asking]*line   // never more than importers times thresholds
	watched   bool               // the sweeper looks
	wakes     time.Time          // when it does at the latest
}

// asking is who asks for answers within what time.
type asking struct {
	by     *Account
	within time.Duration
}

// line is unanswered requests in the order in which they lapse.
type line struct {
	of          asking
	first, last *Answer
	n           int
}

func (l *line) push(x *Answer) {
	x.line, x.prev, x.next = l, l.last, nil
	if l.last == nil {
		l.first = x
	} else {
		l.last.next = x
	}
	l.last = x
	l.n++
}

func (l *line) drop(x *Answer) {
	if x.prev == nil {
		l.first = x.next
	} else {
		x.prev.next = x.next
	}
	if x.next == nil {
		l.last = x.prev
	} else {
		x.next.prev = x.prev
	}
	x.prev, x.next = nil, nil
	l.n--
}

// replyPrefix begins the subjects of answers, as in nats-server.
const replyPrefix = "_R_."

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// appendRandom appends so many random characters.
func appendRandom(b []byte, n int) []byte {
	for r := rand.Uint64(); n > 0; n-- { //nolint:gosec // who may publish there is a matter of permissions
		b = append(b, digits[r%uint64(len(digits))])
		r /= uint64(len(digits))
	}
	return b
}

// owed returns the account's answers, made if need be. From then on other
// brokers know that answers are to come here.
func (a *Account) owed() *answers {
	if o := a.answers.Load(); o != nil {
		return o
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if o := a.answers.Load(); o != nil {
		return o
	}
	o := &answers{
		prefix:    string(append(appendRandom([]byte(replyPrefix), 6), '.')),
		bySubject: make(map[string]*Answer), lines: make(map[asking]*line),
	}
	nowhere := egress.NewInternal(nil)
	nowhere.Flags.Or(egress.Closed)
	o.interest = interest.NewOwn(nowhere, o.prefix+">", "")
	a.Index.Add(o.interest)
	a.answers.Store(o)
	return o
}

// Expect registers a request to a service of the account, and returns where it
// is to be answered.
func (a *Account) Expect(to *Account, reply string, service *share.Export, waiter Waiter) *Answer {
	return a.expect(&Answer{To: to, Reply: reply, Service: service, Waiter: waiter}, service.AnswerWithin())
}

// tracing is how long events of a traced message are taken: as long as a slow link
// may hold up what becomes of a message at another broker.
const tracing = 30 * time.Second

// ExpectTrace registers that a traced message came through a service of the
// account, and returns where other brokers publish what becomes of it.
func (a *Account) ExpectTrace(to *Account, dest string, service *share.Export) *Answer {
	return a.expect(&Answer{To: to, Reply: dest, Service: service, Trace: true}, tracing)
}

func (a *Account) expect(x *Answer, within time.Duration) *Answer {
	o := a.owed()
	x.Asked = time.Now()
	x.due = x.Asked.Add(within)
	o.mu.Lock()
	suffix := ""
	if x.Waiter != nil {
		suffix = x.Waiter.Suffix()
	}
	for x.Subject == "" || o.bySubject[x.Subject] != nil {
		x.Subject = string(append(appendRandom([]byte(o.prefix), 8), suffix...))
	}
	lost, sooner := o.addLocked(x, asking{x.To, within})
	o.mu.Unlock()
	a.added(lost, sooner)
	return x
}

// addLocked lets an answer that is due stand in line. It returns the one that it
// pushes out, and whether the sweeper must look sooner than it would.
func (o *answers) addLocked(x *Answer, of asking) (lost *Answer, sooner bool) {
	o.bySubject[x.Subject] = x
	l := o.lines[of]
	if l == nil {
		l = &line{of: of}
		o.lines[of] = l
	}
	l.push(x)
	if l.n > answersMax {
		lost = l.first
		o.removeLocked(lost)
	}
	sooner = !o.watched || x.due.Before(o.wakes)
	if sooner {
		o.watched, o.wakes = true, x.due
	}
	return lost, sooner
}

// added does what is to be done without the lock after addLocked.
func (a *Account) added(lost *Answer, sooner bool) {
	if sooner && a.sweeper != nil {
		a.sweeper.watch(a)
	}
	lost.lapse()
}

func (x *Answer) lapse() {
	if x != nil && x.Waiter != nil {
		x.Waiter.Lapsed(x)
	}
}

// Awaited returns the answer that is to be given on a subject, or nil.
func (a *Account) Awaited(subject []byte) *Answer {
	o := a.answers.Load()
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if x := o.bySubject[string(subject)]; x != nil && !x.given {
		return x
	}
	return nil
}

// Settle ends the right to an answer. It reports false if it had ended already.
func (a *Account) Settle(x *Answer) bool {
	o := a.owed()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bySubject[x.Subject] != x || x.given {
		return false
	}
	o.removeLocked(x)
	return true
}

// Extend lets a service that answers in parts go on.
func (a *Account) Extend(x *Answer) {
	o := a.owed()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bySubject[x.Subject] != x || x.given {
		return
	}
	x.due = time.Now().Add(x.line.of.within)
	x.line.drop(x)
	x.line.push(x)
}

func (o *answers) removeLocked(x *Answer) {
	delete(o.bySubject, x.Subject)
	if x.line.drop(x); x.line.n == 0 {
		delete(o.lines, x.line.of)
	}
}

// Owed returns how many requests wait for an answer of the account, or for how it
// was measured.
func (a *Account) Owed() int {
	o := a.answers.Load()
	if o == nil {
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.bySubject)
}

// sweep takes out what lapsed and returns when the next one does; the zero time
// if nothing is left.
func (o *answers) sweep(now time.Time) (lapsed []*Answer, next time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range o.lines {
		for l.first != nil && !l.first.due.After(now) {
			x := l.first
			o.removeLocked(x)
			lapsed = append(lapsed, x)
		}
		if l.first != nil {
			next = sooner(next, l.first.due)
		}
	}
	o.watched, o.wakes = !next.IsZero(), next
	return lapsed, next
}
