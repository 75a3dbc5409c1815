package system

import (
	"encoding/json"
	"strings"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/conn"
)

// elsewhere hears how many connections an account has at another broker, so that
// limits hold in the whole cluster. Brokers tell at most once in connsWait for
// each account, however many connect.
func (s *Service) elsewhere(m *conn.Message) {
	var told struct {
		Server    Server `json:"server"`
		Account   string `json:"acc"`
		Conns     int64  `json:"conns"`
		LeafNodes int64  `json:"leafnodes"`
	}
	if err := json.Unmarshal(m.Body, &told); err != nil || told.Server.ID == "" || told.Conns < 0 || told.LeafNodes < 0 {
		s.cfg.Log.Warn("what another broker says of an account's connections makes no sense", "subject", m.Subject, "err", err)
		return
	}
	if told.Server.ID == s.cfg.ID {
		return
	}
	if a := s.cfg.Accounts.Loaded(told.Account); a != nil {
		a.Elsewhere(told.Server.ID, told.Conns+told.LeafNodes)
	}
}

// gone hears that another broker leaves, and its connections with it.
func (s *Service) gone(m *conn.Message) {
	id := strings.Split(m.Subject, ".")[serverToken]
	s.cfg.Accounts.Each(func(a *account.Account) { a.Elsewhere(id, 0) })
}

// serverToken is where a server's id is in the subjects of its events.
const serverToken = 2

// forget drops what is known of brokers that have left without a word.
func (s *Service) forget() {
	if s.cfg.Peer == nil {
		return
	}
	s.cfg.Accounts.Each(func(a *account.Account) {
		for _, id := range a.Others() {
			if !s.cfg.Peer(id) {
				a.Elsewhere(id, 0)
			}
		}
	})
}

// meet asks the other brokers for an account's connections there, when it is in
// use here for the first time.
func (s *Service) meet(a *account.Account) {
	if a.Key == auth.GlobalAccount || a.Met() {
		return
	}
	sys := s.listened("$SYS.REQ.ACCOUNT." + a.Key + ".CONNS")
	if sys == nil {
		return
	}
	b, err := json.Marshal(struct {
		Server  *Server `json:"server"`
		Account string  `json:"acc"`
	}{s.self(), a.Key})
	if err != nil {
		s.cfg.Log.Error("request cannot be encoded", "err", err)
		return
	}
	s.cfg.Host.Publish(sys, "$SYS.REQ.ACCOUNT."+a.Key+".CONNS", connectionSubjects(a)[0], nil, b)
}
