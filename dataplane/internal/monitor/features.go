package monitor

import "time"

// head begins most answers.
type head struct {
	ServerID string    `json:"server_id"`
	Now      time.Time `json:"now"`
}

func (s *Server) head() head { return head{ServerID: s.static.ServerID, Now: time.Now().UTC()} }

// Gatewayz is the answer of /gatewayz for a broker without gateways.
type Gatewayz struct {
	head
	Outbound map[string]struct{} `json:"outbound_gateways"`
	Inbound  map[string]struct{} `json:"inbound_gateways"`
}

func (s *Server) gatewayz(q *query) (any, error) {
	q.subscriptions()
	q.boolean("accs")
	return Gatewayz{head: s.head(), Outbound: map[string]struct{}{}, Inbound: map[string]struct{}{}}, q.err
}

// Leafz is the answer of /leafz for a broker without leaf nodes.
type Leafz struct {
	head
	NumLeafs int        `json:"leafnodes"`
	Leafs    []struct{} `json:"leafs"`
}

func (s *Server) leafz(q *query) (any, error) {
	q.boolean("subs")
	return Leafz{head: s.head(), Leafs: []struct{}{}}, q.err
}

// Jsz is the answer of /jsz for a broker without streams.
type Jsz struct {
	Memory          uint64 `json:"memory"`
	Storage         uint64 `json:"storage"`
	ReservedMemory  uint64 `json:"reserved_memory"`
	ReservedStorage uint64 `json:"reserved_storage"`
	Accounts        int    `json:"accounts"`
	HAAssets        int    `json:"ha_assets"`
	API             JszAPI `json:"api"`
	head
	Disabled  bool      `json:"disabled"`
	Config    JszConfig `json:"config"`
	Streams   int       `json:"streams"`
	Consumers int       `json:"consumers"`
	Messages  uint64    `json:"messages"`
	Bytes     uint64    `json:"bytes"`
	Total     int       `json:"total"`
}

// JszAPI counts requests to the streams API.
type JszAPI struct {
	Level  int    `json:"level"`
	Total  uint64 `json:"total"`
	Errors uint64 `json:"errors"`
}

// JszConfig is what streams may use.
type JszConfig struct {
	MaxMemory  int64 `json:"max_memory"`
	MaxStorage int64 `json:"max_storage"`
}

// jszSwitches are the options of /jsz that are on or off.
var jszSwitches = [...]string{ //nolint:gochecknoglobals // a fixed table
	"accounts", "streams", "consumers", "direct-consumers", "config", "raft", "stream-leader-only",
}

func (s *Server) jsz(q *query) (any, error) {
	for _, name := range jszSwitches[:5] {
		q.boolean(name)
	}
	q.page()
	leaderOnly := q.boolean("leader-only")
	for _, name := range jszSwitches[5:] {
		q.boolean(name)
	}
	if q.err == nil && leaderOnly {
		return nil, ErrNotLeader
	}
	return Jsz{head: s.head(), Disabled: true}, q.err
}
