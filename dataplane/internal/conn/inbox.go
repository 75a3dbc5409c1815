package conn

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// Message is a copy of a message for the broker itself.
type Message struct {
	Account *account.Account // where it was published
	From    *Client          // who published it; nil if it came from another broker
	Subject string
	Reply   string // empty if there is none
	Header  []byte // the header block; nil if there is none
	Body    []byte
}

// Inbox takes messages for the broker itself, from any accounts, and hands them
// to its subscriptions' handlers one after the other, in the goroutine of Run.
// What is too many for its queue is dropped and counted: nobody waits for it.
type Inbox struct {
	host    *Host
	queue   chan delivery
	dropped atomic.Uint64
}

// delivery is a message on its way to its handler.
type delivery struct {
	to      *Internal
	message *Message
}

// Internal is a subscription of the broker itself.
type Internal struct {
	inbox   *Inbox
	account *account.Account
	handle  func(*Message)
	sub     *interest.Sub
	closed  atomic.Bool
}

// NewInbox returns an inbox for so many messages.
func (h *Host) NewInbox(size int) *Inbox {
	return &Inbox{host: h, queue: make(chan delivery, size)}
}

// ErrSubject is a subject that cannot be subscribed to.
var ErrSubject = errors.New("invalid subject")

// Subscribe lets handle get what is published in an account, by its clients and
// by other brokers', but not what the broker itself publishes. The other brokers
// hear of the interest.
func (in *Inbox) Subscribe(a *account.Account, subject, queue string, handle func(*Message)) (*Internal, error) {
	s := in.internal(a, handle)
	s.sub = interest.NewOwn(egress.NewInternal(s), subject, queue)
	return s.start()
}

// SubscribeHere does the same for what our own clients publish: other brokers do
// not hear of the interest.
func (in *Inbox) SubscribeHere(a *account.Account, subject string, handle func(*Message)) (*Internal, error) {
	s := in.internal(a, handle)
	s.sub = interest.NewRemote(egress.NewInternal(s), subject, "")
	return s.start()
}

func (in *Inbox) internal(a *account.Account, handle func(*Message)) *Internal {
	return &Internal{inbox: in, account: a, handle: handle}
}

func (s *Internal) start() (*Internal, error) {
	if !s.account.Index.Add(s.sub) {
		return nil, ErrSubject
	}
	return s, nil
}

// Close ends the subscription. What is queued for it is dropped.
func (s *Internal) Close() {
	s.closed.Store(true)
	s.account.Index.Remove(s.sub)
}

// take puts a message into the inbox of an internal subscription.
func take(from *egress.Conn, flags uint32, op *wire.Op, sub *interest.Sub) bool {
	s, ok := sub.Dst.Owner.(*Internal)
	if !ok || flags&egress.Closed != 0 {
		return false
	}
	return s.take(from, op)
}

func (s *Internal) take(from *egress.Conn, op *wire.Op) bool {
	if s.closed.Load() || from == &s.inbox.host.inside {
		return false
	}
	m := &Message{Account: s.account, Subject: string(op.Subject), Reply: string(op.Reply)}
	if from != nil {
		m.From, _ = from.Owner.(*Client)
	}
	m.Header, m.Body = parts(op)
	select {
	case s.inbox.queue <- delivery{s, m}:
	default:
		s.inbox.dropped.Add(1)
	}
	return true
}

// parts copies the header block and the payload of a message.
func parts(op *wire.Op) (header, body []byte) {
	all := bytes.Clone(op.Body[:op.Size])
	if op.HeaderLen > 0 {
		return all[:op.HeaderLen:op.HeaderLen], all[op.HeaderLen:]
	}
	return nil, all
}

// Dropped returns how many messages found the inbox full.
func (in *Inbox) Dropped() uint64 { return in.dropped.Load() }

// Run handles messages until ctx ends.
func (in *Inbox) Run(ctx context.Context) error {
	told := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case d := <-in.queue:
			if !d.to.closed.Load() {
				d.to.handle(d.message)
			}
		}
		if n := in.Dropped(); n != told && len(in.queue) == 0 {
			in.host.Log.Warn("messages for the broker itself were dropped: more came than it could handle", "dropped", n-told)
			told = n
		}
	}
}
