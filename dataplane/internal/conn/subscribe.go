package conn

import (
	"fmt"
	"time"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/permission"
	"github.com/coveymq/covey/dataplane/internal/subject"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// reservedGroup is the queue group name that clients may not use.
const reservedGroup = "_sys_"

// subscribe handles SUB.
func (c *Client) subscribe(w *worker, arg []byte) *account.Refusal {
	var f [3][]byte
	n := wire.Args(arg, f[:])
	if n != 2 && n != 3 {
		return badArguments
	}
	sid, group := f[n-1], f[1]
	if n == 2 {
		group = nil
	}
	sub := interest.NewSub(c.out, f[0], group, sid)
	subj, queue := sub.Subject(), sub.Queue()
	perms := c.perms.Load()
	if !perms.Subscribe(subj, queue) || queue == reservedGroup {
		c.denied.subscriptions.Add(1)
		c.complain(w, subscribeViolation(subj, queue))
		return nil
	}
	if most := c.host.Options().MaxSubTokens; most > 0 && subject.Tokens(f[0]) > most {
		c.complain(w, fmt.Sprintf("Permissions Violation for Subscription to %q, too many tokens", subj))
		return nil
	}
	if perms.Filter(subj, queue) {
		c.out.Flags.Or(egress.Filtered)
	}
	switch c.add(sub) {
	case added:
		c.ok(w)
	case full:
		c.complain(w, "maximum subscriptions exceeded")
	case over:
		c.complain(w, "maximum subscriptions exceeded")
		return subscriptionsExceeded
	case invalid:
		c.complain(w, "Invalid Subject")
	}
	return nil
}

func subscribeViolation(subj, queue string) string {
	if queue != "" {
		return fmt.Sprintf("Permissions Violation for Subscription to %q using queue %q", subj, queue)
	}
	return fmt.Sprintf("Permissions Violation for Subscription to %q", subj)
}

// addition is what became of a subscription.
type addition uint8

const (
	added addition = iota // or there already: the same sid again changes nothing
	full
	over // full, and the connection is to end for it
	invalid
)

func (c *Client) add(sub *interest.Sub) addition {
	c.mu.Lock()
	defer c.mu.Unlock()
	if most := c.subscriptionLimit(c.shown.Load().identity); most != account.NoLimit && int64(c.subs.len()) >= most {
		c.shedSubscription()
		return full
	}
	if c.subs.get(sub.SID()) != nil {
		return added
	}
	if policy, ok := c.identity.Account.Subscribed(); !ok {
		c.shedSubscription()
		if policy == accounts.Close {
			return over
		}
		return full
	}
	if !c.identity.Account.Index.Add(sub) {
		c.identity.Account.Unsubscribed()
		return invalid
	}
	c.home = c.identity.Account
	c.subs = c.subs.put(sub)
	c.importLocked(sub)
	return added
}

// unsubscribe handles UNSUB.
func (c *Client) unsubscribe(w *worker, arg []byte) *account.Refusal {
	var f [2][]byte
	n := wire.Args(arg, f[:])
	if n != 1 && n != 2 {
		return badArguments
	}
	most := -1
	if n == 2 {
		most = wire.ParseSize(f[1])
	}
	c.ok(w)
	c.endAfter(string(f[0]), most)
	c.forsake(false)
	return nil
}

// endAfter ends a subscription once it has got that many messages; at once if
// there is no such number.
func (c *Client) endAfter(sid string, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sub := c.subs.get(sid)
	if sub == nil {
		return
	}
	if sub.Max.Store(int32(max(most, 0))); most <= 0 || sub.Delivered.Load() >= int64(most) { //nolint:gosec // of at most nine digits
		c.removeLocked(sub)
	}
}

// exhausted ends a subscription that got all the messages it asked for. Any
// publisher may call it.
func (c *Client) exhausted(sub *interest.Sub) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(sub)
}

func (c *Client) removeLocked(sub *interest.Sub) {
	var was bool
	if c.subs, was = c.subs.remove(sub); was {
		c.home.Index.Remove(sub)
		c.dropShadowsLocked(sub)
		c.traceEnd(sub)
		c.home.Unsubscribed()
	}
}

// dropSubscriptions ends all of them.
func (c *Client) dropSubscriptions() { c.settle(nil) }

// settle ends the subscriptions that are in another account than the given one.
func (c *Client) settle(home *account.Account) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.home == home {
		return
	}
	for sub := range c.subs.all() {
		c.home.Index.Remove(sub)
		c.dropShadowsLocked(sub)
		c.traceEnd(sub)
		c.home.Unsubscribed()
	}
	c.home, c.subs, c.replies = nil, nil, nil
}

// allowance is the right to answer one request.
type allowance struct {
	left  int // negative for no bound
	until time.Time
}

// repliesMax bounds the requests whose answers are still allowed; lapsed ones
// are dropped when it is reached, and then the oldest rights are not extended.
const repliesMax = 4096

// admit decides about one delivery to a connection with rules for them. Any
// publisher may call it.
func (c *Client) admit(subj []byte, queue string, reply []byte) bool {
	p := c.perms.Load()
	if !p.Deliver(subj, queue) {
		return false
	}
	if r := p.Responses(); r != nil && len(reply) > 0 {
		c.allowReply(r, string(reply))
	}
	return true
}

func (c *Client) allowReply(r *permission.Responses, reply string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if len(c.replies) >= repliesMax {
		for k, a := range c.replies {
			if !a.until.IsZero() && now.After(a.until) {
				delete(c.replies, k)
			}
		}
		if len(c.replies) >= repliesMax {
			return
		}
	}
	if c.replies == nil {
		c.replies = make(map[string]*allowance)
	}
	a := &allowance{left: r.Max}
	if r.Expires > 0 {
		a.until = now.Add(r.Expires)
	}
	c.replies[reply] = a
}

// mayReply takes one answer off what the client may send to a reply subject.
func (c *Client) mayReply(subj []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.replies[string(subj)]
	if a == nil {
		return false
	}
	if a.left == 0 || !a.until.IsZero() && time.Now().After(a.until) {
		delete(c.replies, string(subj))
		return false
	}
	if a.left > 0 {
		a.left--
	}
	return true
}
