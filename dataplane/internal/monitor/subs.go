package monitor

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/conn"
	"github.com/coveymq/covey/dataplane/internal/subject"
)

// SublistStats describes subscriptions. The broker keeps no cache of results,
// so that what tells of one is 0.
type SublistStats struct {
	Subscriptions int64   `json:"num_subscriptions"`
	Cache         int     `json:"num_cache"`
	Inserts       uint64  `json:"num_inserts"`
	Removes       uint64  `json:"num_removes"`
	Matches       uint64  `json:"num_matches"`
	CacheHitRate  float64 `json:"cache_hit_rate"`
	MaxFanout     int     `json:"max_fanout"`
	AvgFanout     float64 `json:"avg_fanout"`
}

// add adds the subscriptions of an account. One look-up is made per message.
func (s *SublistStats) add(a *account.Account) {
	inserts, removes := a.Index.Changes()
	t, _ := a.Traffic()
	s.Subscriptions += int64(inserts - removes) //nolint:gosec // what is there
	s.Inserts += inserts
	s.Removes += removes
	s.Matches += t.InMessages
}

// SubDetail is one subscription.
type SubDetail struct {
	Account    string `json:"account,omitempty"`
	AccountTag string `json:"account_tag,omitempty"`
	Subject    string `json:"subject"`
	Queue      string `json:"qgroup,omitempty"`
	SID        string `json:"sid"`
	Msgs       int64  `json:"msgs"`
	Max        int64  `json:"max,omitempty"`
	CID        uint64 `json:"cid"`
}

func subDetail(cid uint64, sub *conn.SubscriptionStatus) SubDetail {
	return SubDetail{Subject: sub.Subject, Queue: sub.Queue, SID: sub.SID, Msgs: sub.Delivered, Max: sub.Max, CID: cid}
}

// Subsz is the answer of /subsz.
type Subsz struct {
	head
	SublistStats
	Total  int         `json:"total"`
	Offset int         `json:"offset"`
	Limit  int         `json:"limit"`
	Subs   []SubDetail `json:"subscriptions_list,omitempty"`
}

func (s *Server) subsz(q *query) (any, error) {
	list, p := q.boolean("subs"), q.page()
	if q.err != nil {
		return nil, q.err
	}
	test, only := q.text("test"), q.text("acc")
	if test != "" && !subject.ValidLiteral(test) {
		return nil, fmt.Errorf("invalid test subject, must be valid publish subject: %s", test)
	}
	out := Subsz{head: s.head(), Offset: p.offset, Limit: p.limit}
	s.accounts.Each(func(a *account.Account) {
		if only == "" || a.Key == only {
			out.add(a)
		}
	})
	if list {
		out.list(s.host.Clients(), only, test, p)
	}
	return out, nil
}

// list adds the wanted part of the subscriptions, in the order of connections
// and of their ids for them.
func (out *Subsz) list(clients []*conn.Client, only, test string, p page) {
	slices.SortFunc(clients, func(a, b *conn.Client) int { return cmp.Compare(a.ID(), b.ID()) })
	for _, c := range clients {
		st := c.Status()
		if st.Account == "" || only != "" && st.Account != only {
			continue
		}
		for _, sub := range subscriptions(c) {
			if test != "" && !subject.Matches(test, sub.Subject) {
				continue
			}
			if out.Total++; out.Total > p.offset && len(out.Subs) < p.limit {
				d := subDetail(st.ID, &sub)
				d.Account, d.AccountTag = st.Account, cmp.Or(st.AccountName, st.Account)
				out.Subs = append(out.Subs, d)
			}
		}
	}
}

// subscriptions returns a connection's in the order of its ids for them, which
// most clients count up.
func subscriptions(c *conn.Client) []conn.SubscriptionStatus {
	subs := c.Subscriptions(-1)
	slices.SortFunc(subs, func(a, b conn.SubscriptionStatus) int {
		return cmp.Or(cmp.Compare(len(a.SID), len(b.SID)), cmp.Compare(a.SID, b.SID))
	})
	return subs
}
