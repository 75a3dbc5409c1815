package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
)

// nameTag is an account's name for people.
func nameTag(a *account.Account) string { return cmp.Or(a.State().Name, a.Key) }

// Accountz is the answer of /accountz.
type Accountz struct {
	head
	SystemAccount string       `json:"system_account,omitempty"`
	Accounts      []string     `json:"accounts,omitempty"`
	Account       *AccountInfo `json:"account_detail,omitempty"`
}

// AccountInfo is one account in Accountz.
type AccountInfo struct {
	Name          string               `json:"account_name"`
	Updated       time.Time            `json:"update_time"`
	IsSystem      bool                 `json:"is_system,omitempty"`
	Expired       bool                 `json:"expired"`
	Complete      bool                 `json:"complete"`
	JetStream     bool                 `json:"jetstream_enabled"`
	Leafs         int                  `json:"leafnode_connections"`
	Clients       int                  `json:"client_connections"`
	Subscriptions int64                `json:"subscriptions"`
	Mappings      map[string][]Mapped  `json:"mappings,omitempty"`
	Exports       []Export             `json:"exports,omitempty"`
	Imports       []Import             `json:"imports,omitempty"`
	JWT           string               `json:"jwt,omitempty"`
	IssuerKey     string               `json:"issuer_key,omitempty"`
	NameTag       string               `json:"name_tag,omitempty"`
	Tags          []string             `json:"tags,omitempty"`
	Claims        *jwt.AccountClaims   `json:"decoded_jwt,omitempty"`
	Issues        []ClaimIssue         `json:"validation_result_jwt,omitempty"`
	RevokedUser   map[string]time.Time `json:"revoked_user,omitempty"`
	Sublist       SublistStats         `json:"sublist_stats"`
}

// ClaimIssue is something about an account's claims that is not as it should be.
type ClaimIssue struct {
	Description string `json:"description"`
	Blocking    bool   `json:"blocking"`
	TimeCheck   bool   `json:"time_check"`
}

// claim fills in an account's claims, if it has any.
func (i *AccountInfo) claim(token string) {
	claims, err := jwt.DecodeAccountClaims(token)
	if token == "" || err != nil {
		return
	}
	i.JWT, i.Claims = token, claims
	vr := jwt.CreateValidationResults()
	claims.Validate(vr)
	for _, issue := range vr.Issues {
		i.Issues = append(i.Issues, ClaimIssue{issue.Description, issue.Blocking, issue.TimeCheck})
	}
}

func (s *Server) accountz(q *query) (any, error) {
	out := Accountz{head: s.head(), SystemAccount: s.host.SystemAccount}
	want := q.text("acc")
	s.accounts.Each(func(a *account.Account) {
		switch want {
		case "":
			out.Accounts = append(out.Accounts, a.Key)
		case a.Key:
			out.Account = s.accountInfo(a, out.Now)
		}
	})
	if want != "" && out.Account == nil {
		return nil, fmt.Errorf("Account %s does not exist", want) //nolint:revive,staticcheck // nats-server's words
	}
	slices.Sort(out.Accounts)
	return out, nil
}

func (s *Server) accountInfo(a *account.Account, now time.Time) *AccountInfo {
	st := a.State()
	info := &AccountInfo{
		Name: a.Key, Updated: a.Updated().UTC(), IsSystem: a.Key == s.host.SystemAccount,
		Expired: st.Expires != 0 && now.Unix() >= st.Expires, Complete: true,
		Clients: a.Members(), IssuerKey: st.Issuer, NameTag: nameTag(a), Tags: st.Tags,
	}
	info.claim(st.Token())
	info.share(a)
	info.sortSharing()
	info.Sublist.add(a)
	info.Subscriptions = info.Sublist.Subscriptions
	if len(st.Revocations) > 0 {
		info.RevokedUser = make(map[string]time.Time, len(st.Revocations))
		for user, until := range st.Revocations {
			info.RevokedUser[user] = time.Unix(until, 0).UTC()
		}
	}
	return info
}

// Accstatz is the answer of /accstatz.
type Accstatz struct {
	head
	Accounts []AccountStat `json:"account_statz"`
}

// AccountStat is one account in Accstatz. Messages are those since the account
// was loaded.
type AccountStat struct {
	Account       string   `json:"acc"`
	Name          string   `json:"name"`
	Conns         int      `json:"conns"`
	LeafNodes     int      `json:"leafnodes"`
	TotalConns    int      `json:"total_conns"`
	NumSubs       int64    `json:"num_subscriptions"`
	Sent          DataStat `json:"sent"`
	Received      DataStat `json:"received"`
	SlowConsumers uint64   `json:"slow_consumers"`
	Covey         *Shed    `json:"covey,omitempty"` // ours; left out if there is nothing to say
}

// DataStat is messages and their bytes, in all and by the kind of connection
// where that is not clients.
type DataStat struct {
	MsgBytes
	Gateways MsgBytes `json:"gateways"`
	Routes   MsgBytes `json:"routes"`
	Leafs    MsgBytes `json:"leafs"`
}

// MsgBytes is messages and their bytes.
type MsgBytes struct {
	Msgs  uint64 `json:"msgs"`
	Bytes uint64 `json:"bytes"`
}

func msgBytes(t *egress.Tally) MsgBytes { return MsgBytes{t.Messages.Load(), t.Bytes.Load()} }

func (s *Server) accstatz(q *query) (any, error) {
	unused := q.boolean("unused")
	if q.err != nil {
		return nil, q.err
	}
	return s.AccountStatz(nil, unused), nil
}

func statOf(a *account.Account, t account.Traffic, n int) AccountStat {
	out, in := msgBytes(&a.Routed.Sent), msgBytes(&a.Routed.Received)
	return AccountStat{
		Account: a.Key, Name: nameTag(a), Conns: n, TotalConns: n, NumSubs: a.Index.Count(),
		Sent:          DataStat{MsgBytes: MsgBytes{t.OutMessages + out.Msgs, t.OutBytes + out.Bytes}, Routes: out},
		Received:      DataStat{MsgBytes: MsgBytes{t.InMessages + in.Msgs, t.InBytes + in.Bytes}, Routes: in},
		SlowConsumers: a.SlowConsumers.Load(), Covey: shedOf(&a.Shed),
	}
}

// StatOf returns what is known of an account.
func StatOf(a *account.Account) AccountStat {
	t, n := a.Traffic()
	return statOf(a, t, n)
}

// AccountStatz answers for some accounts, or, if none is named, for all. Those
// that are not loaded, or without connections unless those are wanted, are left
// out.
func (s *Server) AccountStatz(keys []string, unused bool) Accstatz {
	out := Accstatz{head: s.head(), Accounts: []AccountStat{}}
	add := func(a *account.Account) {
		if a == nil {
			return
		}
		if stat := StatOf(a); stat.TotalConns > 0 || unused {
			out.Accounts = append(out.Accounts, stat)
		}
	}
	for _, key := range keys {
		add(s.accounts.Loaded(key))
	}
	if len(keys) == 0 {
		s.accounts.Each(add)
		slices.SortFunc(out.Accounts, func(a, b AccountStat) int { return cmp.Compare(a.Account, b.Account) })
	}
	return out
}

// AccountDetail is what is known of one account that is loaded.
func (s *Server) AccountDetail(key string) (*AccountInfo, error) {
	a := s.accounts.Loaded(key)
	if a == nil {
		return nil, fmt.Errorf("Account %s does not exist", key) //nolint:revive,staticcheck // nats-server's words
	}
	return s.accountInfo(a, time.Now()), nil
}
