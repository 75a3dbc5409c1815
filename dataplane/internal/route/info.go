package route

import (
	"encoding/json"
	"fmt"
	"runtime"
)

// protoTracing is the version of the route protocol in which messages are traced.
// It has all that came before.
const protoTracing = 3

// Ways a server may be told of through others.
const (
	gossipDefault  = 0
	gossipDisabled = 1 // do not tell others of it
	gossipOverride = 2 // tell them although it was learned of in this way
)

// info is the JSON of INFO on a route.
type info struct {
	ID             string          `json:"server_id"`
	Name           string          `json:"server_name"`
	Version        string          `json:"version"`
	Proto          int             `json:"proto"`
	Go             string          `json:"go,omitempty"`
	Host           string          `json:"host"`
	Port           int             `json:"port"`
	Headers        bool            `json:"headers"`
	AuthRequired   bool            `json:"auth_required,omitempty"`
	TLSRequired    bool            `json:"tls_required,omitempty"`
	TLSVerify      bool            `json:"tls_verify,omitempty"`
	MaxPayload     int             `json:"max_payload"`
	IP             string          `json:"ip,omitempty"`
	Cluster        string          `json:"cluster,omitempty"`
	Dynamic        bool            `json:"cluster_dynamic,omitempty"`
	ConnectURLs    []string        `json:"connect_urls,omitempty"`
	LameDuck       bool            `json:"ldm,omitempty"`
	Import         json.RawMessage `json:"import,omitempty"`
	Export         json.RawMessage `json:"export,omitempty"`
	Gateway        string          `json:"gateway,omitempty"`
	Compression    string          `json:"compression,omitempty"`
	PoolSize       int             `json:"route_pool_size,omitempty"`
	PoolIndex      int             `json:"route_pool_idx,omitempty"`
	Account        string          `json:"route_account,omitempty"`
	AccountRequest string          `json:"route_acc_add_reqid,omitempty"`
	Gossip         int             `json:"gossip_mode,omitempty"`
	// Covey says that the server resolves connections made from both sides at a
	// time as we do.
	Covey bool `json:"covey,omitempty"`
}

// connect is the JSON of CONNECT on a route. Name is the server's id.
type connect struct {
	Echo     bool   `json:"echo"`
	Verbose  bool   `json:"verbose"`
	Pedantic bool   `json:"pedantic"`
	User     string `json:"user,omitempty"`
	Pass     string `json:"pass,omitempty"`
	TLS      bool   `json:"tls_required"`
	Headers  bool   `json:"headers"`
	Name     string `json:"name"`
	Cluster  string `json:"cluster"`
	Dynamic  bool   `json:"cluster_dynamic,omitempty"`
	Lang     string `json:"lang,omitempty"` // only clients send it
}

func (i *info) line() []byte    { return line("INFO", i) }
func (c *connect) line() []byte { return line("CONNECT", c) }

func line(verb string, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("route: " + verb + " cannot be encoded: " + err.Error()) // plain fields always can
	}
	return fmt.Appendf(nil, "%s %s\r\n", verb, b)
}

// info returns what we say of ourselves. Call it with mu held.
func (m *Mesh) info() *info {
	host, port := m.address()
	c := m.config()
	i := &info{
		ID: c.ServerID, Name: c.ServerName, Version: c.Version, Proto: protoTracing, Go: runtime.Version(),
		Host: host, Port: port, Headers: !c.NoHeaders, AuthRequired: c.User != "", MaxPayload: c.MaxPayload,
		Cluster: m.name, Dynamic: m.dynamic, Compression: c.Compression.Mode, PoolSize: c.PoolSize, LameDuck: m.lame, Covey: true,
		TLSRequired: c.TLS != nil, TLSVerify: c.TLS != nil, Import: c.Permissions.Import.json(), Export: c.Permissions.Export.json(),
	}
	if c.Advertise != "" {
		i.IP = "nats-route://" + c.Advertise + "/"
	}
	if !c.NoAdvertise {
		i.ConnectURLs = c.ClientURLs
	}
	return i
}
