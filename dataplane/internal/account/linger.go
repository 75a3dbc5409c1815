package account

import "time"

// lingering is how long an answer that was given is kept for a waiter that is to
// hear more of it. Another broker's word comes within milliseconds of the answer,
// unless the link is slow, or that broker says nothing of answers at all.
const lingering = 2 * time.Second

// Linger ends the right to an answer, as Settle does, but keeps it where Asked
// finds it, for a while; then its waiter hears that it lapsed. It reports false if
// the right had ended already.
func (a *Account) Linger(x *Answer) bool {
	o := a.owed()
	o.mu.Lock()
	if o.bySubject[x.Subject] != x || x.given {
		o.mu.Unlock()
		return false
	}
	o.removeLocked(x)
	x.given, x.due = true, time.Now().Add(lingering)
	lost, sooner := o.addLocked(x, asking{x.To, lingering})
	o.mu.Unlock()
	a.added(lost, sooner)
	return true
}

// Asked returns what was asked for an answer on a subject, given or not; nil if
// nothing is known of it.
func (a *Account) Asked(subject string) *Answer {
	o := a.answers.Load()
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bySubject[subject]
}

// Finish forgets an answer, given or not. It reports false if it was forgotten
// already.
func (a *Account) Finish(x *Answer) bool {
	o := a.owed()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bySubject[x.Subject] != x {
		return false
	}
	o.removeLocked(x)
	return true
}
