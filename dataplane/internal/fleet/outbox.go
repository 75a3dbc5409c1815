package fleet

import (
	"maps"
	"slices"
	"sync"

	fleetv1 "github.com/coveymq/covey/proto/covey/fleet/v1"
)

// mail is what the broker has to tell. Everything in it is merged, so that it
// never holds more than one word per account.
type mail struct {
	hold    map[string]bool // true: add, false: remove
	ack     int64
	refused []*fleetv1.Refusal
	seen    []*fleetv1.Sighting
	counted []*fleetv1.ConnectionCount
	goodbye bool
}

// outbox collects mail for one session's sender.
type outbox struct {
	signal chan struct{} // one slot: there is mail
	ended  chan struct{} // closed after err is set
	err    error         // why the session ended; io.EOF if the other end closed it

	mu   sync.Mutex
	next mail
}

func newOutbox() *outbox {
	return &outbox{signal: make(chan struct{}, 1), ended: make(chan struct{})}
}

func (o *outbox) change(f func(m *mail)) {
	o.mu.Lock()
	f(&o.next)
	o.mu.Unlock()
	select {
	case o.signal <- struct{}{}:
	default:
	}
}

func (o *outbox) hold(account string, add bool) {
	o.change(func(m *mail) {
		if m.hold == nil {
			m.hold = make(map[string]bool)
		}
		m.hold[account] = add
	})
}

func (o *outbox) take() mail {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := o.next
	o.next = mail{}
	return m
}

// countedMax bounds the answers that wait; who asked for more is not answered.
const countedMax = 256

// refusalsMax is how many refusals one message tells.
const refusalsMax = 1000

// holdMax is how many accounts one Hold names.
const holdMax = 1000

// requests puts mail into messages, in the order in which they are to be sent.
func (m mail) requests() []*fleetv1.AttendRequest {
	var reqs []*fleetv1.AttendRequest
	for part := range slices.Chunk(slices.Collect(maps.Keys(m.hold)), holdMax) {
		hold := &fleetv1.Hold{}
		for _, account := range part {
			if m.hold[account] {
				hold.Add = append(hold.Add, account)
			} else {
				hold.Remove = append(hold.Remove, account)
			}
		}
		reqs = append(reqs, &fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Hold{Hold: hold}})
	}
	if m.ack > 0 {
		reqs = append(reqs, &fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Acknowledge{
			Acknowledge: &fleetv1.Acknowledge{Revision: m.ack},
		}})
	}
	for part := range slices.Chunk(m.refused, refusalsMax) {
		reqs = append(reqs, &fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Refusals{Refusals: &fleetv1.Refusals{Refusals: part}}})
	}
	for part := range slices.Chunk(m.seen, seenMax) {
		reqs = append(reqs, &fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Sightings{Sightings: &fleetv1.Sightings{Sightings: part}}})
	}
	for _, n := range m.counted {
		reqs = append(reqs, &fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_ConnectionCount{ConnectionCount: n}})
	}
	if m.goodbye {
		reqs = append(reqs, &fleetv1.AttendRequest{Message: &fleetv1.AttendRequest_Goodbye{Goodbye: &fleetv1.Goodbye{}}})
	}
	return reqs
}
