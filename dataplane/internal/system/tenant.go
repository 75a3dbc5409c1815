package system

import (
	"net/url"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/conn"
)

// Requests to the broker that clients of every account may make.
const (
	userInfo      = "$SYS.REQ.USER.INFO"
	accountConnz  = "$SYS.REQ.ACCOUNT.PING.CONNZ"
	accountConnz2 = "$SYS.REQ.SERVER.PING.CONNZ" // the same, but for the system account
	accountStatz  = "$SYS.REQ.ACCOUNT.PING.STATZ"
)

// Offers reports whether clients of an account may make a request; see
// conn.Services.
func (s *Service) Offers(c *conn.Client, subject []byte) bool {
	sys := s.account()
	if sys == nil {
		return false
	}
	switch string(subject) {
	case userInfo:
		return true
	case accountConnz, accountConnz2, accountStatz:
		return c.Identity().Account != sys
	}
	return false
}

// Serve answers a request that is offered; see conn.Services. What it costs is
// the requester's: nobody else waits for it.
func (s *Service) Serve(m *conn.Message) {
	key := m.From.Identity().Account.Key
	switch m.Subject {
	case userInfo:
		s.serve(m, s.userInfo)
	case accountStatz:
		s.serve(m, func(m *conn.Message) (any, error) { return s.statz(m, key) })
		s.pass(m, key, "STATZ")
	default:
		s.serve(m, func(m *conn.Message) (any, error) {
			return s.cfg.Monitor.Ask("CONNZ", m.Body, url.Values{"acc": {key}})
		})
		s.pass(m, key, "CONNZ")
	}
}

// passedFor is how long other brokers may take to answer what was passed on.
const passedFor = 5 * time.Second

// pass lets the other brokers answer, too.
func (s *Service) pass(m *conn.Message, key, name string) {
	subject := "$SYS.REQ.ACCOUNT." + key + "." + name
	if m.Reply == "" || s.cfg.Peers() == 0 {
		return
	}
	sys := s.account()
	if sys == nil || !s.cfg.Host.Wanted(sys, subject) {
		return
	}
	token, ok := s.asks.begin(time.Now().Add(passedFor), func(a *conn.Message) { s.send(m.Account, m.Reply, a.Header, a.Body) })
	if !ok {
		s.asks.sweep(time.Now())
		s.cfg.Log.Debug("too many requests are open: other brokers are not asked", "account", key)
		return
	}
	// Of the headers only what is meant for who answers: others ask things of whatever
	// broker gets the message, and there they would ask them in the system account.
	var header []byte
	if encoding := encodingFor(m.Header); encoding != "" {
		header = []byte("NATS/1.0\r\nAccept-Encoding: " + encoding + "\r\n\r\n")
	}
	s.cfg.Host.Publish(sys, subject, s.inbox(token), header, m.Body)
}

// user is what a client is told of itself.
type user struct {
	ID          string        `json:"user"`
	Account     string        `json:"account"`
	AccountName string        `json:"account_name,omitempty"`
	Name        string        `json:"user_name,omitempty"`
	Permissions *permissions  `json:"permissions,omitempty"`
	Expires     time.Duration `json:"expires,omitempty"`
}

// permissions are a client's rules.
type permissions struct {
	Publish   *subjects  `json:"publish,omitempty"`
	Subscribe *subjects  `json:"subscribe,omitempty"`
	Responses *responses `json:"responses,omitempty"`
}

type subjects struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

type responses struct {
	Max     int           `json:"max"`
	Expires time.Duration `json:"ttl"`
}

func (s *Service) userInfo(m *conn.Message) (any, error) {
	id := m.From.Identity()
	u := user{ID: id.Who(), Account: id.Account.Key, AccountName: nameOf(id.Account)}
	if id.Claimed != nil {
		u.Name = id.Name
	}
	if p := id.Permissions.Claims(); p != nil {
		u.Permissions = permissionsOf(p)
	}
	if id.Expires != 0 {
		u.Expires = time.Until(time.Unix(id.Expires, 0))
	}
	return u, nil
}

func permissionsOf(p *jwt.Permissions) *permissions {
	out := &permissions{}
	if len(p.Pub.Allow)+len(p.Pub.Deny) > 0 {
		out.Publish = &subjects{p.Pub.Allow, p.Pub.Deny}
	}
	if len(p.Sub.Allow)+len(p.Sub.Deny) > 0 {
		out.Subscribe = &subjects{p.Sub.Allow, p.Sub.Deny}
	}
	if p.Resp != nil {
		out.Responses = &responses{p.Resp.MaxMsgs, p.Resp.Expires}
	}
	return out
}
