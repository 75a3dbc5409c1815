package monitor

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
)

// Subsz is the answer of /subsz.
type Subsz struct {
	ServerID      string      `json:"server_id"`
	Now           time.Time   `json:"now"`
	Subscriptions int64       `json:"num_subscriptions"`
	Total         int         `json:"total,omitempty"`
	Offset        int         `json:"offset,omitempty"`
	Limit         int         `json:"limit,omitempty"`
	Subs          []SubDetail `json:"subscriptions_list,omitempty"`
}

func (s *Server) subscriptions() int64 {
	var n int64
	s.accounts.Each(func(a *account.Account) { n += a.Index.Count() })
	return n
}

func (s *Server) subsz(r *http.Request) (any, error) {
	q := r.URL.Query()
	offset, limit, err := page(q)
	if err != nil {
		return nil, err
	}
	out := Subsz{ServerID: s.static.ServerID, Now: time.Now(), Subscriptions: s.subscriptions()}
	if !on(q, "subs") {
		return out, nil
	}
	out.Offset, out.Limit = offset, limit
	for _, c := range s.host.Clients() {
		st := c.Status()
		if acc := q.Get("acc"); acc != "" && acc != st.Account {
			continue
		}
		for _, sub := range st.Subscriptions {
			out.Total++
			if out.Total > offset && len(out.Subs) < limit {
				out.Subs = append(out.Subs, SubDetail{
					Account: st.Account, Subject: sub.Subject, Queue: sub.Queue, SID: sub.SID, Msgs: sub.Delivered, Max: sub.Max, CID: st.ID,
				})
			}
		}
	}
	return out, nil
}

// Accountz is the answer of /accountz.
type Accountz struct {
	ServerID string       `json:"server_id"`
	Now      time.Time    `json:"now"`
	Accounts []string     `json:"accounts,omitempty"`
	Account  *AccountInfo `json:"account_detail,omitempty"`
}

// AccountInfo is one account in Accountz.
type AccountInfo struct {
	Name          string `json:"account_name"`
	NameTag       string `json:"name_tag,omitempty"`
	IsSystem      bool   `json:"is_system,omitempty"`
	Expired       bool   `json:"expired"`
	Complete      bool   `json:"complete"`
	Clients       int    `json:"client_connections"`
	Leafs         int    `json:"leafnode_connections"`
	Subscriptions int64  `json:"subscriptions"`
}

func (s *Server) accountz(r *http.Request) (any, error) {
	out := Accountz{ServerID: s.static.ServerID, Now: time.Now()}
	want := r.URL.Query().Get("acc")
	s.accounts.Each(func(a *account.Account) {
		switch want {
		case "":
			out.Accounts = append(out.Accounts, a.Key)
		case a.Key:
			st := a.State()
			out.Account = &AccountInfo{
				Name: a.Key, NameTag: st.Name, IsSystem: a.Key == s.host.SystemAccount, Complete: true,
				Expired: st.Expires != 0 && out.Now.Unix() >= st.Expires,
				Clients: a.Members(), Subscriptions: a.Index.Count(),
			}
		}
	})
	if want != "" && out.Account == nil {
		return nil, fmt.Errorf("account %q is not loaded", want)
	}
	slices.Sort(out.Accounts)
	return out, nil
}

// Accstatz is the answer of /accstatz.
type Accstatz struct {
	ServerID string        `json:"server_id"`
	Now      time.Time     `json:"now"`
	Accounts []AccountStat `json:"account_statz"`
}

// AccountStat is one account in Accstatz. Messages are those of the connections
// there are now.
type AccountStat struct {
	Account       string   `json:"acc"`
	Name          string   `json:"name"`
	Conns         int      `json:"conns"`
	LeafNodes     int      `json:"leafnodes"`
	TotalConns    int      `json:"total_conns"`
	NumSubs       int64    `json:"num_subscriptions"`
	Sent          DataStat `json:"sent"`
	Received      DataStat `json:"received"`
	SlowConsumers int64    `json:"slow_consumers"`
}

// DataStat is messages and their bytes.
type DataStat struct {
	Msgs  uint64 `json:"msgs"`
	Bytes uint64 `json:"bytes"`
}

func (s *Server) accstatz(r *http.Request) (any, error) {
	traffic := make(map[string]conn.Traffic)
	for _, c := range s.host.Clients() {
		t := c.Traffic()
		sum := traffic[t.Account]
		sum.Add(t)
		traffic[t.Account] = sum
	}
	out := Accstatz{ServerID: s.static.ServerID, Now: time.Now(), Accounts: []AccountStat{}}
	unused := on(r.URL.Query(), "unused")
	s.accounts.Each(func(a *account.Account) {
		n := a.Members()
		if n == 0 && !unused {
			return
		}
		t := traffic[a.Key]
		out.Accounts = append(out.Accounts, AccountStat{
			Account: a.Key, Name: cmp.Or(a.State().Name, a.Key), Conns: n, TotalConns: n, NumSubs: a.Index.Count(),
			Sent: DataStat{t.OutMessages, t.OutBytes}, Received: DataStat{t.InMessages, t.InBytes},
		})
	})
	slices.SortFunc(out.Accounts, func(a, b AccountStat) int { return cmp.Compare(a.Account, b.Account) })
	return out, nil
}
