package monitor

import (
	"cmp"
	"slices"
	"time"

	"github.com/coveymq/covey/dataplane/internal/route"
)

// Routez is the answer of /routez.
type Routez struct {
	ServerID   string          `json:"server_id"`
	ServerName string          `json:"server_name"`
	Now        time.Time       `json:"now"`
	Import     *route.Subjects `json:"import,omitempty"`
	Export     *route.Subjects `json:"export,omitempty"`
	NumRoutes  int             `json:"num_routes"`
	Routes     []RouteInfo     `json:"routes"`
}

// RouteInfo is one connection to another broker in Routez.
type RouteInfo struct {
	RID           uint64          `json:"rid"`
	RemoteID      string          `json:"remote_id"`
	RemoteName    string          `json:"remote_name"`
	DidSolicit    bool            `json:"did_solicit"`
	IsConfigured  bool            `json:"is_configured"`
	IP            string          `json:"ip"`
	Port          int             `json:"port"`
	Start         time.Time       `json:"start"`
	LastActivity  time.Time       `json:"last_activity"`
	RTT           string          `json:"rtt,omitempty"`
	Uptime        string          `json:"uptime"`
	Idle          string          `json:"idle"`
	Import        *route.Subjects `json:"import,omitempty"`
	Export        *route.Subjects `json:"export,omitempty"`
	Pending       int64           `json:"pending_size"`
	InMsgs        uint64          `json:"in_msgs"`
	OutMsgs       uint64          `json:"out_msgs"`
	InBytes       uint64          `json:"in_bytes"`
	OutBytes      uint64          `json:"out_bytes"`
	NumSubs       int64           `json:"subscriptions"`
	Subscriptions []string        `json:"subscriptions_list,omitempty"`
	Details       []SubDetail     `json:"subscriptions_list_detail,omitempty"`
	Account       string          `json:"account,omitempty"`
	Compression   string          `json:"compression,omitempty"`
}

func (s *Server) routez(q *query) (any, error) {
	list, detail := q.subscriptions()
	out := Routez{ServerID: s.static.ServerID, ServerName: s.static.ServerName, Now: time.Now().UTC(), Routes: []RouteInfo{}}
	if s.mesh == nil || q.err != nil {
		return out, q.err
	}
	may := s.mesh.Permissions()
	out.Import, out.Export = may.Import, may.Export
	all := s.mesh.Status(list || detail)
	slices.SortFunc(all, func(a, b route.Status) int { return cmp.Compare(a.ID, b.ID) })
	for i := range all {
		out.Routes = append(out.Routes, routeInfo(&all[i], out.Now, detail))
	}
	out.NumRoutes = len(out.Routes)
	return out, nil
}

func routeInfo(st *route.Status, now time.Time, detail bool) RouteInfo {
	ri := RouteInfo{
		RID: st.ID, RemoteID: st.RemoteID, RemoteName: st.RemoteName, DidSolicit: st.Solicited, IsConfigured: st.Configured,
		IP: st.IP, Port: st.Port, Start: st.Start.UTC(), LastActivity: st.LastActivity.UTC(),
		Uptime: uptime(now.Sub(st.Start)), Idle: uptime(now.Sub(st.LastActivity)), Pending: st.PendingBytes,
		InMsgs: st.InMessages, OutMsgs: st.OutMessages, InBytes: st.InBytes, OutBytes: st.OutBytes,
		NumSubs: st.SubscriptionCount, Account: st.Account, Compression: st.Compression,
		Import: st.Import, Export: st.Export,
	}
	if st.RTT > 0 {
		ri.RTT = st.RTT.String()
	}
	for _, w := range st.Subscriptions {
		if detail {
			ri.Details = append(ri.Details, SubDetail{Account: w.Account, Subject: w.Subject, Queue: w.Queue, CID: st.ID})
		} else {
			ri.Subscriptions = append(ri.Subscriptions, w.Subject)
		}
	}
	return ri
}
