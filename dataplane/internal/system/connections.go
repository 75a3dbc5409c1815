package system

import (
	"context"
	"encoding/json"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
)

// connectionSubjects are where an account's connections are told, the second one
// to old servers.
func connectionSubjects(a *account.Account) [2]string {
	return [2]string{"$SYS.ACCOUNT." + a.Key + ".SERVER.CONNS", "$SYS.SERVER.ACCOUNT." + a.Key + ".CONNS"}
}

func (s *Service) connectionsWanted(a *account.Account) bool {
	for _, subject := range connectionSubjects(a) {
		if s.listened(subject) != nil {
			return true
		}
	}
	return false
}

// changed notes that an account's connections are others now, if anybody wants to
// hear of it.
func (s *Service) changed(a *account.Account) {
	if a.Key == auth.GlobalAccount || !s.connectionsWanted(a) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty[a] = true
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) takeDirty() map[*account.Account]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	dirty := s.dirty
	s.dirty = make(map[*account.Account]bool)
	return dirty
}

// announceConnections tells of what changed, a little later: what changes again
// meanwhile is told once.
func (s *Service) announceConnections(ctx context.Context) error {
	pause := time.NewTimer(connsWait)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		}
		pause.Reset(connsWait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pause.C:
		}
		for a := range s.takeDirty() {
			s.tellConnections(a)
		}
	}
}

// beat tells of all accounts that have connections.
func (s *Service) beat() {
	s.cfg.Accounts.Each(func(a *account.Account) {
		if a.Key != auth.GlobalAccount && s.connectionsWanted(a) && a.Members() > 0 {
			s.tellConnections(a)
		}
	})
}

func (s *Service) tellConnections(a *account.Account) {
	m := s.connectionsOf(a)
	for _, subject := range connectionSubjects(a) {
		s.publish(subject, "", m)
	}
}

// publishIn sends v as JSON to an account.
func (s *Service) publishIn(a *account.Account, subject string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.cfg.Log.Error("event cannot be encoded", "subject", subject, "err", err)
		return
	}
	s.cfg.Host.Publish(a, subject, "", nil, b)
}
