package monitor

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/coveymq/covey/dataplane/internal/conn"
)

// Connz is the answer of /connz.
type Connz struct {
	ServerID    string     `json:"server_id"`
	Now         time.Time  `json:"now"`
	NumConns    int        `json:"num_connections"`
	Total       int        `json:"total"`
	Offset      int        `json:"offset"`
	Limit       int        `json:"limit"`
	Connections []ConnInfo `json:"connections"`
}

// ConnInfo is one connection in Connz.
type ConnInfo struct {
	CID           uint64      `json:"cid"`
	Kind          string      `json:"kind,omitempty"`
	Type          string      `json:"type,omitempty"`
	IP            string      `json:"ip"`
	Port          int         `json:"port"`
	Start         time.Time   `json:"start"`
	LastActivity  time.Time   `json:"last_activity"`
	RTT           string      `json:"rtt,omitempty"`
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
}

// SubDetail is one subscription in ConnInfo and Subsz.
type SubDetail struct {
	Account string `json:"account,omitempty"`
	Subject string `json:"subject"`
	Queue   string `json:"qgroup,omitempty"`
	SID     string `json:"sid"`
	Msgs    int64  `json:"msgs"`
	Max     int64  `json:"max,omitempty"`
	CID     uint64 `json:"cid"`
}

// defaultLimit is how many connections or subscriptions one answer holds.
const defaultLimit = 1024

func (s *Server) connz(r *http.Request) (any, error) {
	q := r.URL.Query()
	offset, limit, err := page(q)
	if err != nil {
		return nil, err
	}
	order, ok := connOrders[cmp.Or(q.Get("sort"), "cid")]
	if !ok {
		return nil, fmt.Errorf("invalid sorting option: %q", q.Get("sort"))
	}
	if state := q.Get("state"); state != "" && state != "open" && state != "any" && state != "all" {
		return nil, fmt.Errorf("state %q is not supported yet", state)
	}
	var all []conn.Status
	for _, c := range s.host.Clients() {
		st := c.Status()
		if matches(&st, q) {
			all = append(all, st)
		}
	}
	slices.SortStableFunc(all, func(a, b conn.Status) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortStableFunc(all, order)
	out := Connz{ServerID: s.static.ServerID, Now: time.Now(), Total: len(all), Offset: offset, Limit: limit, Connections: []ConnInfo{}}
	for i := offset; i < len(all) && i < offset+limit; i++ {
		out.Connections = append(out.Connections, connInfo(&all[i], out.Now, q))
	}
	out.NumConns = len(out.Connections)
	return out, nil
}

func page(q url.Values) (offset, limit int, err error) {
	limit = defaultLimit
	for name, into := range map[string]*int{"offset": &offset, "limit": &limit} {
		if text := q.Get(name); text != "" {
			if *into, err = strconv.Atoi(text); err != nil || *into < 0 {
				return 0, 0, fmt.Errorf("error decoding %s: %q is not a number of at least 0", name, text)
			}
		}
	}
	return offset, limit, nil
}

func matches(st *conn.Status, q url.Values) bool {
	if cid := q.Get("cid"); cid != "" && cid != strconv.FormatUint(st.ID, 10) {
		return false
	}
	return (q.Get("acc") == "" || q.Get("acc") == st.Account) && (q.Get("user") == "" || q.Get("user") == st.User)
}

func on(q url.Values, name string) bool { return q.Get(name) == "1" || q.Get(name) == "true" }

func connInfo(st *conn.Status, now time.Time, q url.Values) ConnInfo {
	ci := ConnInfo{
		CID: st.ID, Kind: "Client", Type: "nats", IP: st.IP, Port: st.Port, Start: st.Start, LastActivity: st.LastActivity,
		Uptime: uptime(now.Sub(st.Start)), Idle: uptime(now.Sub(st.LastActivity)), Pending: st.PendingBytes,
		InMsgs: st.InMessages, OutMsgs: st.OutMessages, InBytes: st.InBytes, OutBytes: st.OutBytes, Stalls: st.Stalls,
		NumSubs: len(st.Subscriptions), Name: st.Name, Lang: st.Lang, Version: st.Version,
	}
	if st.RTT > 0 {
		ci.RTT = st.RTT.String()
	}
	if on(q, "auth") {
		ci.User, ci.Account = st.User, st.Account
	}
	detail := q.Get("subs") == "detail"
	for _, sub := range st.Subscriptions {
		switch {
		case detail:
			ci.Details = append(ci.Details, SubDetail{
				Account: st.Account, Subject: sub.Subject, Queue: sub.Queue, SID: sub.SID, Msgs: sub.Delivered, Max: sub.Max, CID: st.ID,
			})
		case on(q, "subs"):
			ci.Subscriptions = append(ci.Subscriptions, sub.Subject)
		}
	}
	return ci
}

// connOrders are the values of the sort option. Counts sort the largest first.
var connOrders = map[string]func(a, b conn.Status) int{ //nolint:gochecknoglobals // constant
	"cid":        func(a, b conn.Status) int { return cmp.Compare(a.ID, b.ID) },
	"start":      func(a, b conn.Status) int { return a.Start.Compare(b.Start) },
	"subs":       func(a, b conn.Status) int { return cmp.Compare(len(b.Subscriptions), len(a.Subscriptions)) },
	"pending":    func(a, b conn.Status) int { return cmp.Compare(b.PendingBytes, a.PendingBytes) },
	"msgs_to":    func(a, b conn.Status) int { return cmp.Compare(b.OutMessages, a.OutMessages) },
	"msgs_from":  func(a, b conn.Status) int { return cmp.Compare(b.InMessages, a.InMessages) },
	"bytes_to":   func(a, b conn.Status) int { return cmp.Compare(b.OutBytes, a.OutBytes) },
	"bytes_from": func(a, b conn.Status) int { return cmp.Compare(b.InBytes, a.InBytes) },
	"last":       func(a, b conn.Status) int { return b.LastActivity.Compare(a.LastActivity) },
	"idle":       func(a, b conn.Status) int { return a.LastActivity.Compare(b.LastActivity) },
	"uptime":     func(a, b conn.Status) int { return a.Start.Compare(b.Start) },
	"rtt":        func(a, b conn.Status) int { return cmp.Compare(b.RTT, a.RTT) },
}
