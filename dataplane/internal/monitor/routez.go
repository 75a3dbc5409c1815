package monitor

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/coveymq/covey/dataplane/internal/route"
)

// Routez is the answer of /routez.
type Routez struct {
	ServerID   string      `json:"server_id"`
	ServerName string      `json:"server_name"`
	Now        time.Time   `json:"now"`
	NumRoutes  int         `json:"num_routes"`
	Routes     []RouteInfo `json:"routes"`
}

// RouteInfo is one connection to another broker in Routez.
type RouteInfo struct {
	RID           uint64    `json:"rid"`
	RemoteID      string    `json:"remote_id"`
	RemoteName    string    `json:"remote_name"`
	DidSolicit    bool      `json:"did_solicit"`
	IsConfigured  bool      `json:"is_configured"`
	IP            string    `json:"ip"`
	Port          int       `json:"port"`
	Start         time.Time `json:"start"`
	LastActivity  time.Time `json:"last_activity"`
	RTT           string    `json:"rtt,omitempty"`
	Uptime        string    `json:"uptime"`
	Idle          string    `json:"idle"`
	Pending       int64     `json:"pending_size"`
	InMsgs        uint64    `json:"in_msgs"`
	OutMsgs       uint64    `json:"out_msgs"`
	InBytes       uint64    `json:"in_bytes"`
	OutBytes      uint64    `json:"out_bytes"`
	NumSubs       int64     `json:"subscriptions"`
	Subscriptions []string  `json:"subscriptions_list,omitempty"`
	Account       string    `json:"account,omitempty"`
	Compression   string    `json:"compression,omitempty"`
}

func (s *Server) routez(r *http.Request) (any, error) {
	out := Routez{ServerID: s.static.ServerID, ServerName: s.static.ServerName, Now: time.Now(), Routes: []RouteInfo{}}
	if s.mesh == nil {
		return out, nil
	}
	all := s.mesh.Status(on(r.URL.Query(), "subs"))
	slices.SortFunc(all, func(a, b route.Status) int { return cmp.Compare(a.ID, b.ID) })
	for _, st := range all {
		ri := RouteInfo{
			RID: st.ID, RemoteID: st.RemoteID, RemoteName: st.RemoteName, DidSolicit: st.Solicited, IsConfigured: st.Configured,
			IP: st.IP, Port: st.Port, Start: st.Start, LastActivity: st.LastActivity,
			Uptime: uptime(out.Now.Sub(st.Start)), Idle: uptime(out.Now.Sub(st.LastActivity)), Pending: st.PendingBytes,
			InMsgs: st.InMessages, OutMsgs: st.OutMessages, InBytes: st.InBytes, OutBytes: st.OutBytes,
			NumSubs: st.SubscriptionCount, Subscriptions: st.Subscriptions, Account: st.Account, Compression: "off",
		}
		if st.RTT > 0 {
			ri.RTT = st.RTT.String()
		}
		out.Routes = append(out.Routes, ri)
	}
	out.NumRoutes = len(out.Routes)
	return out, nil
}
