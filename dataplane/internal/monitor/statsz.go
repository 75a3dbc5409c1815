package monitor

import (
	"math"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// Statsz is what a broker tells the system account of itself, from time to time
// and when it is asked.
type Statsz struct {
	Start               time.Time   `json:"start"`
	Mem                 int64       `json:"mem"`
	Cores               int         `json:"cores"`
	CPU                 float64     `json:"cpu"`
	Connections         int         `json:"connections"`
	TotalConnections    uint64      `json:"total_connections"`
	ActiveAccounts      int         `json:"active_accounts"`
	NumSubs             int64       `json:"subscriptions"`
	Sent                MsgBytes    `json:"sent"`
	SentToClients       MsgBytes    `json:"sent_to_clients"`
	Received            MsgBytes    `json:"received"`
	ReceivedFromClients MsgBytes    `json:"received_from_clients"`
	SlowConsumers       uint64      `json:"slow_consumers"`
	SlowConsumerStats   *ByKind     `json:"slow_consumer_stats,omitempty"`
	StaleConnections    uint64      `json:"stale_connections,omitempty"`
	StaleStats          *ByKind     `json:"stale_connection_stats,omitempty"`
	StalledClients      uint64      `json:"stalled_clients,omitempty"`
	Routes              []RouteStat `json:"routes,omitempty"`
	ActiveServers       int         `json:"active_servers,omitempty"`
	GoMemLimit          int64       `json:"gomemlimit,omitempty"`
	GoMaxProcs          int         `json:"gomaxprocs,omitempty"`
}

// RouteStat is one connection to another broker in Statsz.
type RouteStat struct {
	ID       uint64   `json:"rid"`
	Name     string   `json:"name,omitempty"`
	Sent     MsgBytes `json:"sent"`
	Received MsgBytes `json:"received"`
	Pending  int64    `json:"pending"`
}

// Statsz returns the broker's figures of now.
func (s *Server) Statsz() Statsz {
	var v Varz
	s.measure(&v)
	out := Statsz{
		Start: s.static.Started.UTC(), Mem: v.Mem, Cores: runtime.NumCPU(), CPU: v.CPU, GoMaxProcs: runtime.GOMAXPROCS(0),
		Connections: v.Connections, TotalConnections: v.TotalConnections, NumSubs: v.Subscriptions,
		SentToClients: MsgBytes{v.OutClientMsgs, v.OutClientBytes}, ReceivedFromClients: MsgBytes{v.InClientMsgs, v.InClientBytes},
		Sent: MsgBytes{v.OutMsgs, v.OutBytes}, Received: MsgBytes{v.InMsgs, v.InBytes},
		SlowConsumers: v.SlowConsumers, StaleConnections: v.StaleConnections, StalledClients: v.StalledClients, ActiveServers: 1 + v.Remotes,
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		out.GoMemLimit = limit
	}
	if v.SlowConsumer != (ByKind{}) {
		out.SlowConsumerStats = &v.SlowConsumer
	}
	if v.StaleConnection != (ByKind{}) {
		out.StaleStats = &v.StaleConnection
	}
	s.accounts.Each(func(a *account.Account) {
		if a.Members() > 0 {
			out.ActiveAccounts++
		}
	})
	if s.mesh != nil {
		for _, r := range s.mesh.Status(false) {
			out.Routes = append(out.Routes, RouteStat{
				ID: r.ID, Name: r.RemoteName, Sent: MsgBytes{r.OutMessages, r.OutBytes},
				Received: MsgBytes{r.InMessages, r.InBytes}, Pending: r.PendingBytes,
			})
		}
	}
	return out
}
