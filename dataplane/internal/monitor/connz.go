package monitor

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/subject"
)

// Connz is the answer of /connz.
type Connz struct {
	head
	NumConns    int        `json:"num_connections"`
	Total       int        `json:"total"`
	Offset      int        `json:"offset"`
	Limit       int        `json:"limit"`
	Connections []ConnInfo `json:"connections"`
}

// ConnInfo is one connection in Connz.
type ConnInfo struct {
	CID           uint64      `json:"cid"`
	Kind          string      `json:"kind"`
	Type          string      `json:"type"`
	IP            string      `json:"ip"`
	Port          int         `json:"port"`
	Start         time.Time   `json:"start"`
	LastActivity  time.Time   `json:"last_activity"`
	Stop          *time.Time  `json:"stop,omitempty"`
	Reason        string      `json:"reason,omitempty"`
	RTT           string      `json:"rtt"`
	Uptime        string      `json:"uptime"`
	Idle          string      `json:"idle"`
	Pending       int64       `json:"pending_bytes"`
	InMsgs        uint64      `json:"in_msgs"`
	OutMsgs       uint64      `json:"out_msgs"`
	InBytes       uint64      `json:"in_bytes"`
	OutBytes      uint64      `json:"out_bytes"`
	Stalls        uint64      `json:"stalls,omitempty"`
	NumSubs       int         `json:"subscriptions"`
	Name          string      `json:"name,omitempty"`
	Lang          string      `json:"lang,omitempty"`
	Version       string      `json:"version,omitempty"`
	User          string      `json:"authorized_user,omitempty"`
	Account       string      `json:"account,omitempty"`
	Subscriptions []string    `json:"subscriptions_list,omitempty"`
	Details       []SubDetail `json:"subscriptions_list_detail,omitempty"`
	TLSVersion    string      `json:"tls_version,omitempty"`
	TLSSuite      string      `json:"tls_cipher_suite,omitempty"`
	TLSPeers      []PeerCert  `json:"tls_peer_certs,omitempty"`
	TLSFirst      bool        `json:"tls_first,omitempty"`
	IssuerKey     string      `json:"issuer_key,omitempty"`
	NameTag       string      `json:"name_tag,omitempty"`
	Tags          []string    `json:"tags,omitempty"`
}

// PeerCert is a certificate that a client showed.
type PeerCert struct {
	Subject    string `json:"subject,omitempty"`
	KeySHA256  string `json:"spki_sha256,omitempty"`
	CertSHA256 string `json:"cert_sha256,omitempty"`
}

func peerCerts(certs []*x509.Certificate) []PeerCert {
	all := make([]PeerCert, len(certs))
	for i, c := range certs {
		key, cert := sha256.Sum256(c.RawSubjectPublicKeyInfo), sha256.Sum256(c.Raw)
		all[i] = PeerCert{Subject: c.Subject.String(), KeySHA256: hex.EncodeToString(key[:]), CertSHA256: hex.EncodeToString(cert[:])}
	}
	return all
}

// globalAccount is not named as the account of a connection, as in nats-server.
const globalAccount = "$G"

// connQuery is what /connz is asked for.
type connQuery struct {
	order        func(a, b *connection) int
	auth         bool
	subs, detail bool
	page         page
	cid          uint64
	open, closed bool
	user         string
	account      string
	mqtt         string
	filter       string // only those with a subscription that overlaps with it
}

// connection is a connection, open or not.
type connection struct {
	conn.Status
	client *conn.Client // nil when closed
	end    *conn.Closed // nil when open
}

// hears reports whether the connection has a subscription that overlaps with a
// subject.
func (c *connection) hears(filter string) bool {
	return slices.ContainsFunc(c.list(), func(sub conn.SubscriptionStatus) bool { return subject.Overlaps(sub.Subject, filter) })
}

// list returns the connection's subscriptions.
func (c *connection) list() []conn.SubscriptionStatus {
	if c.client != nil {
		return subscriptions(c.client)
	}
	return c.end.List
}

// until is when the connection ended, or now.
func (c *connection) until(now time.Time) time.Time {
	if c.end != nil {
		return c.end.Stop
	}
	return now
}

func (s *Server) connz(q *query) (any, error) {
	cq, err := q.connections()
	if err != nil {
		return nil, err
	}
	all := s.connections(cq)
	out := Connz{head: s.head(), Total: len(all), Offset: cq.page.offset, Limit: cq.page.limit}
	all = slices.DeleteFunc(all, func(c connection) bool {
		return cq.cid != 0 && c.ID != cq.cid || cq.user != "" && c.User != cq.user || cq.mqtt != "" || cq.filter != "" && !c.hears(cq.filter)
	})
	slices.SortFunc(all, func(a, b connection) int {
		return cmp.Or(cq.order(&a, &b), cmp.Compare(a.ID, b.ID))
	})
	from, to := cq.page.cut(len(all))
	out.Connections = make([]ConnInfo, 0, to-from)
	for i := range all[from:to] {
		out.Connections = append(out.Connections, cq.info(&all[from+i], out.Now))
	}
	out.NumConns = len(out.Connections)
	return out, nil
}

// connections reads the options of /connz.
func (q *query) connections() (*connQuery, error) {
	cq := &connQuery{auth: q.boolean("auth")}
	cq.subs, cq.detail = q.subscriptions()
	cq.page = q.page()
	cq.cid = q.number("cid")
	if cq.cid != 0 {
		cq.page.limit = 1
	}
	cq.open, cq.closed = q.state()
	cq.user, cq.account, cq.mqtt, cq.filter = q.text("user"), q.text("acc"), q.text("mqtt_client"), q.text("filter_subject")
	if q.err != nil {
		return nil, q.err
	}
	sort := cmp.Or(q.text("sort"), "cid")
	if cq.order = connOrders[sort]; cq.order == nil {
		return nil, fmt.Errorf("invalid sorting option: %s", sort)
	}
	if (sort == "stop" || sort == "reason") && (cq.open || !cq.closed) {
		return nil, fmt.Errorf("sort by %s only valid on closed connections", sort)
	}
	if cq.filter == ">" {
		cq.filter = ""
	}
	if cq.filter != "" && cq.account == "" {
		return nil, errors.New("filter by subject only valid with account filtering")
	}
	return cq, nil
}

// subscriptions reads whether subscriptions are wanted, and how.
func (q *query) subscriptions() (plain, detail bool) {
	if strings.EqualFold(q.text("subs"), "detail") {
		return false, true
	}
	return q.boolean("subs"), false
}

func (q *query) state() (open, closed bool) {
	switch state := q.text("state"); strings.ToLower(state) {
	case "", "open":
		return true, false
	case "closed":
		return false, true
	case "any", "all":
		return true, true
	default:
		if q.err == nil {
			q.err = errors.New("Error decoding state for " + state) //nolint:revive,staticcheck // nats-server's words
		}
		return false, false
	}
}

// connections returns those in the wanted state and account. One that ends just
// now is taken as closed.
func (s *Server) connections(cq *connQuery) []connection {
	var all []connection
	if cq.open {
		clients := s.host.Clients()
		all = make([]connection, 0, len(clients))
		for _, c := range clients {
			all = append(all, connection{Status: c.Status(), client: c})
		}
	}
	if cq.closed {
		ended := s.host.Closed()
		gone := make(map[uint64]bool, len(ended))
		for _, e := range ended {
			gone[e.ID] = true
		}
		all = slices.DeleteFunc(all, func(c connection) bool { return gone[c.ID] })
		for _, e := range ended {
			all = append(all, connection{Status: e.Status, end: e})
		}
	}
	if cq.account != "" {
		all = slices.DeleteFunc(all, func(c connection) bool { return c.Account != cq.account })
	}
	return all
}

// info formats one connection.
func (cq *connQuery) info(c *connection, now time.Time) ConnInfo {
	until := c.until(now)
	ci := ConnInfo{
		CID: c.ID, Kind: "Client", Type: "nats", IP: c.IP, Port: c.Port,
		Start: c.Start.UTC(), LastActivity: c.LastActivity.UTC(), RTT: roundTrip(c.RTT),
		Uptime: uptime(until.Sub(c.Start)), Idle: uptime(until.Sub(c.LastActivity)), Pending: c.PendingBytes,
		InMsgs: c.Traffic.InMessages, OutMsgs: c.Traffic.OutMessages, InBytes: c.Traffic.InBytes, OutBytes: c.Traffic.OutBytes,
		Stalls: c.Stalls, NumSubs: c.Subscriptions, Name: c.Name, Lang: c.Lang, Version: c.Version,
		TLSVersion: c.TLSVersion, TLSSuite: c.TLSSuite, TLSFirst: c.TLSFirst,
	}
	if c.end != nil {
		stop := c.end.Stop.UTC()
		ci.Stop, ci.Reason = &stop, c.end.Reason
	}
	if cq.auth {
		ci.User, ci.IssuerKey, ci.Tags = c.User, c.Issuer, c.Tags
		if c.client != nil {
			ci.TLSPeers = peerCerts(c.client.Certificates())
		}
	}
	if cq.auth && c.Account != "" {
		if c.Account != globalAccount {
			ci.Account = c.Account
		}
		if c.end == nil || c.Account != globalAccount {
			ci.NameTag = cmp.Or(c.AccountName, c.Account)
		}
	}
	if cq.subs || cq.detail {
		cq.list(c, &ci)
	}
	return ci
}

// list adds the connection's subscriptions.
func (cq *connQuery) list(c *connection, ci *ConnInfo) {
	subs := c.list()
	for i := range subs {
		if !cq.detail {
			ci.Subscriptions = append(ci.Subscriptions, subs[i].Subject)
			continue
		}
		d := subDetail(c.ID, &subs[i])
		if c.end != nil {
			d.Account, d.AccountTag = c.Account, cmp.Or(c.AccountName, c.Account)
		}
		ci.Details = append(ci.Details, d)
	}
}

// roundTrip formats a time as nats-server does: whole microseconds below a
// millisecond.
func roundTrip(d time.Duration) string {
	if d > time.Microsecond && d < time.Millisecond {
		d = d.Truncate(time.Microsecond)
	}
	return d.String()
}

// connOrders are the values of the sort option, with nats-server's directions:
// most come first, but for ids, uptimes and reasons.
var connOrders = map[string]func(a, b *connection) int{ //nolint:gochecknoglobals // constant
	"cid":        func(*connection, *connection) int { return 0 },
	"start":      func(*connection, *connection) int { return 0 },
	"subs":       func(a, b *connection) int { return cmp.Compare(b.Subscriptions, a.Subscriptions) },
	"pending":    func(a, b *connection) int { return cmp.Compare(b.PendingBytes, a.PendingBytes) },
	"msgs_to":    func(a, b *connection) int { return cmp.Compare(b.Traffic.OutMessages, a.Traffic.OutMessages) },
	"msgs_from":  func(a, b *connection) int { return cmp.Compare(b.Traffic.InMessages, a.Traffic.InMessages) },
	"bytes_to":   func(a, b *connection) int { return cmp.Compare(b.Traffic.OutBytes, a.Traffic.OutBytes) },
	"bytes_from": func(a, b *connection) int { return cmp.Compare(b.Traffic.InBytes, a.Traffic.InBytes) },
	"last":       func(a, b *connection) int { return b.LastActivity.Compare(a.LastActivity) },
	"idle":       func(a, b *connection) int { return a.LastActivity.Compare(b.LastActivity) },
	"uptime":     func(a, b *connection) int { return cmp.Compare(a.lived(), b.lived()) },
	"stop":       func(a, b *connection) int { return b.end.Stop.Compare(a.end.Stop) },
	"reason":     func(a, b *connection) int { return strings.Compare(a.end.Reason, b.end.Reason) },
	"rtt":        func(a, b *connection) int { return cmp.Compare(b.RTT, a.RTT) },
}

// lived is how long the connection has been, or was.
func (c *connection) lived() time.Duration { return c.until(time.Now()).Sub(c.Start) }
