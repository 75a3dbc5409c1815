package conn

import (
	"maps"
	"sync"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/interest"
)

// asked is the requests of a client that are measured and not answered. Clients
// that never had one have none.
type asked struct {
	mu   sync.Mutex
	open map[*account.Answer]*sampling // guarded by mu
}

// awaits notes a request that is measured.
func (s *sampling) awaits(x *account.Answer) {
	if s == nil {
		return
	}
	a := s.client.asked.Load()
	if a == nil {
		s.client.asked.CompareAndSwap(nil, &asked{open: make(map[*account.Answer]*sampling)})
		a = s.client.asked.Load()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open != nil { // else the client is gone
		a.open[x] = s
	}
}

// settled notes that a request has been answered, or will not be.
func (s *sampling) settled(x *account.Answer) {
	if a := s.client.asked.Load(); a != nil {
		a.mu.Lock()
		delete(a.open, x)
		a.mu.Unlock()
	}
}

// forsake gives up the requests to which nobody would hear the answer, now that
// the client has ended subscriptions, or is gone altogether.
func (c *Client) forsake(gone bool) {
	a := c.asked.Load()
	if a == nil {
		return
	}
	a.mu.Lock()
	open := a.open
	if a.open = nil; !gone {
		a.open = maps.Clone(open)
	}
	a.mu.Unlock()
	var heard interest.Result
	for x, s := range open {
		if x.To.Index.Match([]byte(x.Reply), &heard); heard.Empty() && s.link.From.Settle(x) {
			s.settled(x)
			s.failed(408, "Request Timeout", x.Asked)
		}
	}
}
