package system

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/monitor"
)

// accountOf returns the account that a request of $SYS.REQ.ACCOUNT is about.
func accountOf(m *conn.Message) string { return strings.Split(m.Subject, ".")[accountToken] }

const accountToken = 3

// errNoStreams is what a request gets that is about streams in an account.
var errNoStreams = errors.New("jetstream not enabled")

// accountAnswers are the requests about one account, by their last token.
func (s *Service) accountAnswers() map[string]answer {
	scoped := func(name string, more url.Values) answer {
		return func(m *conn.Message) (any, error) {
			force := url.Values{"acc": {accountOf(m)}}
			for k, v := range more {
				force[k] = v
			}
			return s.cfg.Monitor.Ask(name, m.Body, force)
		}
	}
	return map[string]answer{
		"CONNZ": scoped("CONNZ", nil),
		"SUBSZ": scoped("SUBSZ", url.Values{"subs": {"true"}}),
		"LEAFZ": scoped("LEAFZ", nil),
		"JSZ":   func(*conn.Message) (any, error) { return (*struct{})(nil), errNoStreams },
		"INFO":  func(m *conn.Message) (any, error) { return s.cfg.Monitor.AccountDetail(accountOf(m)) },
		"STATZ": func(m *conn.Message) (any, error) {
			if accountOf(m) == "PING" {
				return nil, errSilent // which is for all accounts and has a subscription of its own
			}
			return s.statz(m, accountOf(m))
		},
	}
}

// statz tells of one account, or, if none is named, of those that the request
// names or of all. Where there is nothing to tell, nothing is told.
func (s *Service) statz(m *conn.Message, key string) (any, error) {
	var want struct {
		Accounts []string `json:"accounts"`
		Unused   bool     `json:"include_unused"`
	}
	if len(m.Body) > 0 {
		if err := json.Unmarshal(m.Body, &want); err != nil {
			return nil, err
		}
	}
	if key != "" {
		want.Accounts = []string{key}
	}
	out := s.cfg.Monitor.AccountStatz(want.Accounts, want.Unused)
	if len(out.Accounts) == 0 && !want.Unused {
		return nil, errSilent
	}
	return out, nil
}

func (s *Service) allStatz(m *conn.Message) (any, error) { return s.statz(m, "") }

// typed begins an event.
type typed struct {
	Type string    `json:"type"`
	ID   string    `json:"id"`
	Time time.Time `json:"timestamp"`
}

// connections is how many connections an account has here, as an event and as an
// answer.
type connections struct {
	typed
	Server *Server `json:"server"`
	monitor.AccountStat
}

func (s *Service) connectionsOf(a *account.Account) *connections {
	return &connections{
		typed: event("io.nats.server.advisory.v1.account_connections"), Server: s.self(), AccountStat: monitor.StatOf(a),
	}
}

// conns answers how many connections an account has here, if it has any.
func (s *Service) conns(m *conn.Message) {
	key := accountOf(m)
	want := struct {
		Account string `json:"acc"`
	}{key}
	if len(m.Body) > 0 {
		if err := json.Unmarshal(m.Body, &want); err != nil || want.Account != key {
			s.cfg.Log.Warn("request for an account's connections makes no sense", "subject", m.Subject, "err", err)
			return
		}
	}
	a := s.cfg.Accounts.Loaded(key)
	if a == nil || a.Members() == 0 || m.Reply == "" {
		return
	}
	s.reply(m, s.connectionsOf(a), "")
}

// nameOf is an account's name for people.
func nameOf(a *account.Account) string { return cmp.Or(a.State().Name, a.Key) }
