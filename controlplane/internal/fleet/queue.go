package fleet

import "sync"

// pendingMax bounds the claims that wait for one slow broker. Above it the queue
// forgets them and has the sender read all that the broker holds from etcd.
const pendingMax = 8192

// claims is one account's state; an empty jwt says that it was deleted.
type claims struct {
	jwt      string
	revision int64
}

// orders are what a sender has to do next.
type orders struct {
	operator  string   // send a Welcome with it, unless empty
	order     *order   // it has changed
	greet     bool     // send a Welcome
	resync    bool     // compare all held accounts with the store
	fresh     []string // send what the store has of these
	pending   map[string]claims
	asks      []ask // send these before all that may take long
	watermark int64 // send it after all of the above
}

// queue holds what one session has to send. The feed and the receiver put, the
// sender takes. Claims are merged by account, the latest wins, so that a
// watermark taken from it never runs ahead of claims.
type queue struct {
	broker string
	signal chan struct{} // one slot: there is something to take

	mu   sync.Mutex
	next orders
}

func newQueue(broker string) *queue { return &queue{broker: broker, signal: make(chan struct{}, 1)} }

func (q *queue) change(f func(o *orders)) {
	q.mu.Lock()
	f(&q.next)
	if len(q.next.pending)+len(q.next.fresh) > pendingMax {
		q.next.pending, q.next.fresh, q.next.resync = nil, nil, true
	}
	q.mu.Unlock()
	select {
	case q.signal <- struct{}{}:
	default:
	}
}

func (q *queue) putClaims(account string, c claims) {
	q.change(func(o *orders) {
		if o.pending == nil {
			o.pending = make(map[string]claims)
		}
		o.pending[account] = c
	})
}

func (q *queue) putWatermark(revision int64) {
	q.change(func(o *orders) { o.watermark = max(o.watermark, revision) })
}

func (q *queue) putFresh(accounts []string) {
	q.change(func(o *orders) { o.fresh = append(o.fresh, accounts...) })
}

func (q *queue) putOperator(jwt string) { q.change(func(o *orders) { o.operator = jwt }) }

func (q *queue) putGreeting() { q.change(func(o *orders) { o.greet = true }) }

func (q *queue) putOrder(now order) { q.change(func(o *orders) { o.order = &now }) }

func (q *queue) putResync() {
	q.change(func(o *orders) { o.pending, o.fresh, o.resync = nil, nil, true })
}

func (q *queue) take() orders {
	q.mu.Lock()
	defer q.mu.Unlock()
	o := q.next
	q.next = orders{}
	return o
}
