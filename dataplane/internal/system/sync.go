package system

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
)

// packRequest is where a broker whose store holds all accounts asks another such
// one, with its store's hash, for what it may not have. The answer is a message
// KEY|JWT for each account, and then an empty one.
const packRequest = "$SYS.REQ.CLAIMS.PACK"

// packsMax bounds the claims that wait to be merged. What is dropped comes again
// with the next round.
const packsMax = 16384

// syncStores asks for what our store may not have, again and again.
func (s *Service) syncStores(ctx context.Context) error {
	t := time.NewTicker(s.cfg.Interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
		if sys := s.account(); sys != nil {
			hash := s.cfg.Resolver.Store().Hash()
			s.cfg.Host.Publish(sys, packRequest, s.packInbox(), nil, hash[:])
		}
	}
}

func (s *Service) packInbox() string { return "$SYS._INBOX." + s.cfg.ID + "_PACK.claims" }

// pack sends all claims to a broker whose store is not the same as ours. It does
// so for one at a time: the others ask again.
func (s *Service) pack(m *conn.Message) {
	hash := s.cfg.Resolver.Store().Hash()
	switch {
	case m.Reply == "":
		return
	case bytes.Equal(m.Body, hash[:]):
		s.send(m.Account, m.Reply, nil, nil)
		return
	case s.packing.Swap(true):
		return
	}
	s.group.Side(func(ctx context.Context) error {
		defer s.packing.Store(false)
		store := s.cfg.Resolver.Store()
		for _, key := range store.Keys() {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the broker is leaving
			}
			if token, err := store.Find(key); err == nil {
				s.send(m.Account, m.Reply, nil, []byte(key+"|"+token))
			}
		}
		s.send(m.Account, m.Reply, nil, nil)
		return nil
	})
}

// merge takes what another broker has.
func (s *Service) merge(m *conn.Message) {
	for line := range strings.Lines(string(m.Body)) {
		key, token, ok := strings.Cut(strings.TrimSpace(line), "|")
		if !ok {
			s.cfg.Log.Warn("another broker's accounts cannot be read")
			return
		}
		if err := s.mergeOne(key, token); err != nil {
			s.cfg.Log.Warn("another broker's claims are not taken", "account", key, "err", err)
		}
	}
}

func (s *Service) mergeOne(key, token string) error {
	store := s.cfg.Resolver.Store()
	if have, err := store.Find(key); err == nil && have == token {
		return nil
	}
	if err := s.cfg.Accounts.Verify(key, token); err != nil {
		return err
	}
	changed, err := store.Merge(key, token)
	if err != nil || !changed {
		return err
	}
	if a := s.cfg.Accounts.Loaded(key); a != nil {
		return s.cfg.Accounts.Apply(key, token, a.State().Revision)
	}
	return nil
}

// found is what one broker answers to a look-up; empty if it has nothing.
type found chan string

// Find asks the other brokers for an account's claims; see resolver.Others. That
// there are none is known when all of them say so, or when nobody is asked who
// holds all accounts but us.
func (s *Service) Find(ctx context.Context, key string) (string, error) {
	subject := "$SYS.REQ.ACCOUNT." + key + ".CLAIMS.LOOKUP"
	sys, asked := s.account(), 0
	if sys != nil {
		asked = s.cfg.Host.Audience(sys, subject)
	}
	if asked == 0 {
		if s.cfg.Full {
			return "", account.ErrUnknown
		}
		return "", fmt.Errorf("%w: no broker that holds all accounts can be asked", account.ErrUnavailable)
	}
	answers := make(found, asked)
	token, ok := s.asks.begin(time.Now().Add(s.cfg.Timeout), func(m *conn.Message) {
		select {
		case answers <- string(m.Body):
		default: // more than were asked
		}
	})
	if !ok {
		return "", fmt.Errorf("%w: too many look-ups at a time", account.ErrUnavailable)
	}
	defer s.asks.end(token)
	s.cfg.Host.Publish(sys, subject, s.inbox(token), nil, nil)
	return s.await(ctx, key, answers, asked)
}

func (s *Service) await(ctx context.Context, key string, answers found, asked int) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	for empty := 0; ; {
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%w: other brokers did not answer in time", account.ErrUnavailable)
		case token := <-answers:
			if token == "" {
				if empty++; empty >= asked {
					return "", account.ErrUnknown
				}
				continue
			}
			if err := s.cfg.Accounts.Verify(key, token); err != nil {
				return "", err
			}
			if _, err := s.cfg.Resolver.Store().Merge(key, token); err != nil {
				s.cfg.Log.Warn("claims that were found cannot be kept", "account", key, "err", err)
			}
			return token, nil
		}
	}
}
