package system

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/conn"
)

// calloutsMax bounds the answers of authorization services that wait to be given
// to the connections that asked; there is at most one for each.
const calloutsMax = asksMax

// callouts are the accounts in which we listen to answers of authorization
// services: one subscription each, made when somebody asks first.
type callouts struct {
	mu   sync.Mutex
	subs map[*account.Account]*conn.Internal // guarded by mu
}

// calloutInbox is where an authorization service answers.
func (s *Service) calloutInbox(token string) string {
	return "$SYS._INBOX." + s.cfg.ID + "_AUTH." + token
}

// listenIn sees that answers from an account are heard.
func (s *Service) listenIn(a *account.Account) error {
	s.callouts.mu.Lock()
	defer s.callouts.mu.Unlock()
	if s.callouts.subs[a] != nil {
		return nil
	}
	for old, sub := range s.callouts.subs { // those that were evicted meanwhile
		if s.cfg.Accounts.Loaded(old.Key) != old {
			sub.Close()
			delete(s.callouts.subs, old)
		}
	}
	sub, err := s.answers.Subscribe(a, s.calloutInbox("*"), "", s.asks.answered)
	if err != nil {
		return err
	}
	if s.callouts.subs == nil {
		s.callouts.subs = make(map[*account.Account]*conn.Internal)
	}
	s.callouts.subs[a] = sub
	return nil
}

var errTooMany = errors.New("too many requests are open")

// Ask asks the authorization service of an account; see auth.Asker.
func (s *Service) Ask(ctx context.Context, a *account.Account, header, body []byte) ([]byte, error) {
	if err := s.listenIn(a); err != nil {
		return nil, err
	}
	until, ok := ctx.Deadline()
	if !ok {
		until = time.Now().Add(s.cfg.Timeout)
	}
	answer := make(chan []byte, 1)
	token, ok := s.asks.begin(until, func(m *conn.Message) {
		select {
		case answer <- m.Body:
		default: // the first one counts
		}
	})
	if !ok {
		return nil, errTooMany
	}
	defer s.asks.end(token)
	if !s.cfg.Host.Publish(a, account.CalloutSubject, s.calloutInbox(token), header, body) {
		return nil, auth.ErrNobody
	}
	select {
	case b := <-answer:
		return b, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer in time: %w", ctx.Err())
	}
}
