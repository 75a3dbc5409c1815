package system

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/coveymq/covey/dataplane/internal/conn"
)

// reloadTimeout bounds the wait for a configuration to come into force.
const reloadTimeout = 30 * time.Second

func (s *Service) reload(m *conn.Message) {
	s.serve(m, func(*conn.Message) (any, error) {
		ctx, cancel := context.WithTimeout(s.group.Context(), reloadTimeout)
		defer cancel()
		return nil, s.cfg.Reload(ctx)
	})
}

var (
	errNoClient   = errors.New("no such client or leafnode id")
	errNoClientID = errors.New("no such client id")
	errNotAnswers = errors.New("client does not support Lame Duck Mode or is not ready to receive the notification")
)

// client finds the connection that a request names. It reports false if the
// request cannot be read, which is not answered.
func (s *Service) client(m *conn.Message) (c *conn.Client, ok bool) {
	var want struct {
		CID uint64 `json:"cid"`
	}
	if err := json.Unmarshal(m.Body, &want); err != nil {
		s.cfg.Log.Warn("request about a connection cannot be read", "subject", m.Subject, "err", err)
		return nil, false
	}
	for _, c := range s.cfg.Host.Clients() {
		if c.ID() == want.CID {
			return c, true
		}
	}
	return nil, true
}

// kick disconnects a client.
func (s *Service) kick(m *conn.Message) {
	c, ok := s.client(m)
	if !ok {
		return
	}
	s.serve(m, func(*conn.Message) (any, error) {
		if c == nil {
			return nil, errNoClient
		}
		c.Kick()
		return nil, nil //nolint:nilnil // an answer without data
	})
}

// lameDuckClient tells one client to go elsewhere.
func (s *Service) lameDuckClient(m *conn.Message) {
	c, ok := s.client(m)
	if !ok {
		return
	}
	s.serve(m, func(*conn.Message) (any, error) {
		switch {
		case c == nil:
			return nil, errNoClientID
		case !c.LameDuck():
			return nil, errNotAnswers
		}
		return nil, nil //nolint:nilnil // an answer without data
	})
}
