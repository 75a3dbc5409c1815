package system

import (
	"crypto/rand"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/monitor"
)

func event(kind string) typed { return typed{Type: kind, ID: rand.Text(), Time: time.Now().UTC()} }

// clientInfo is a connection, in events.
type clientInfo struct {
	Start     time.Time     `json:"start"`
	Host      string        `json:"host,omitempty"`
	ID        uint64        `json:"id,omitempty"`
	Account   string        `json:"acc,omitempty"`
	User      string        `json:"user,omitempty"`
	Name      string        `json:"name,omitempty"`
	Lang      string        `json:"lang,omitempty"`
	Version   string        `json:"ver,omitempty"`
	RTT       time.Duration `json:"rtt,omitempty"`
	Stop      *time.Time    `json:"stop,omitempty"`
	JWT       string        `json:"jwt,omitempty"`
	IssuerKey string        `json:"issuer_key,omitempty"`
	NameTag   string        `json:"name_tag,omitempty"`
	Tags      []string      `json:"tags,omitempty"`
	Kind      string        `json:"kind,omitempty"`
	Type      string        `json:"client_type,omitempty"`
}

func describe(st *conn.Status) clientInfo {
	info := clientInfo{
		Start: st.Start, Host: st.IP, ID: st.ID, Account: st.Account, User: st.User, Name: st.Name, Lang: st.Lang,
		Version: st.Version, IssuerKey: st.Issuer, NameTag: st.AccountName, Tags: st.Tags, Kind: "Client", Type: "nats",
	}
	if info.Account == "" {
		info.Account = auth.GlobalAccount // who is nobody is shown there, as in nats-server
	}
	if info.NameTag == "" {
		info.NameTag = info.Account
	}
	return info
}

// connected is the event of a client that was admitted.
type connected struct {
	typed
	Server *Server    `json:"server"`
	Client clientInfo `json:"client"`
}

// disconnected is the event of a client that has gone, or was not admitted.
type disconnected struct {
	typed
	Server   *Server          `json:"server"`
	Client   clientInfo       `json:"client"`
	Sent     monitor.MsgBytes `json:"sent"`     // by the client
	Received monitor.MsgBytes `json:"received"` // likewise
	Reason   string           `json:"reason"`
}

// listened returns the system account if somebody there listens to a subject,
// else nil.
func (s *Service) listened(subject string) *account.Account {
	if sys := s.account(); sys != nil && s.cfg.Host.Wanted(sys, subject) {
		return sys
	}
	return nil
}

// Connected tells of a client that was admitted; see conn.Events.
func (s *Service) Connected(c *conn.Client, token string) {
	a := c.Identity().Account
	s.meet(a)
	s.changed(a)
	s.joinedRates(a)
	subject := "$SYS.ACCOUNT." + a.Key + ".CONNECT"
	if s.listened(subject) == nil {
		return
	}
	st := c.Status()
	info := describe(&st)
	info.JWT = token
	s.publish(subject, "", &connected{typed: event("io.nats.server.advisory.v1.client_connect"), Server: s.self(), Client: info})
}

// Disconnected tells of a client that has gone; see conn.Events.
func (s *Service) Disconnected(a *account.Account, last *conn.Closed) {
	key := auth.GlobalAccount
	if a != nil {
		s.changed(a)
		key = a.Key
	}
	if subject := "$SYS.ACCOUNT." + key + ".DISCONNECT"; s.listened(subject) != nil {
		s.publish(subject, "", s.disconnected(last))
	}
}

func (s *Service) disconnected(last *conn.Closed) *disconnected {
	info, stop := describe(&last.Status), last.Stop.UTC()
	info.Stop, info.RTT = &stop, last.RTT
	t := &last.Traffic
	return &disconnected{
		typed: event("io.nats.server.advisory.v1.client_disconnect"), Server: s.self(), Client: info,
		Sent: monitor.MsgBytes{Msgs: t.InMessages, Bytes: t.InBytes}, Received: monitor.MsgBytes{Msgs: t.OutMessages, Bytes: t.OutBytes},
		Reason: last.Reason,
	}
}

// authFailed is where those who own an account with nobody's clients hear of
// clients that were not admitted.
const authFailed = "$SYS.ACCOUNT.CLIENT.AUTH.ERR"

// Refused tells of a client that showed nothing that lets it in; see conn.Events.
func (s *Service) Refused(r *account.Refusal, last func() *conn.Closed) {
	if subject := "$SYS.SERVER." + s.cfg.ID + ".CLIENT.AUTH.ERR"; s.listened(subject) != nil {
		s.publish(subject, "", s.disconnected(last()))
	}
	a := r.Account
	if a == nil {
		a = s.cfg.Accounts.Loaded(auth.GlobalAccount)
	}
	if a == nil || s.account() == nil || !s.cfg.Host.Wanted(a, authFailed) {
		return
	}
	m := s.disconnected(last())
	if r.Account != nil {
		m.Client.Account, m.Reason = a.Key, r.Log
	}
	s.publishIn(a, authFailed, m)
}

// LameDuck tells that the broker is going to leave.
func (s *Service) LameDuck() { s.publish("$SYS.SERVER."+s.cfg.ID+".LAMEDUCK", "", s.self()) }

// Shutdown tells that the broker leaves now.
func (s *Service) Shutdown() { s.publish("$SYS.SERVER."+s.cfg.ID+".SHUTDOWN", "", s.self()) }
