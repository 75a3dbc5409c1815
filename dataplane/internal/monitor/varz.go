package monitor

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/secure"
)

// Varz is the answer of /varz.
type Varz struct {
	ServerID     string   `json:"server_id"`
	ServerName   string   `json:"server_name"`
	Version      string   `json:"version"`
	CoveyVersion string   `json:"covey_version"`
	Proto        int      `json:"proto"`
	Go           string   `json:"go"`
	Host         string   `json:"host"`
	Port         int      `json:"port"`
	AuthRequired bool     `json:"auth_required,omitempty"`
	TLSRequired  bool     `json:"tls_required,omitempty"`
	TLSVerify    bool     `json:"tls_verify,omitempty"`
	ConnectURLs  []string `json:"connect_urls,omitempty"`

	MaxConnections   int           `json:"max_connections"`
	MaxSubscriptions int           `json:"max_subscriptions,omitempty"`
	PingInterval     time.Duration `json:"ping_interval"`
	PingMax          int           `json:"ping_max"`
	HTTPHost         string        `json:"http_host"`
	HTTPPort         int           `json:"http_port"`
	HTTPBasePath     string        `json:"http_base_path"`
	HTTPSPort        int           `json:"https_port"`
	AuthTimeout      float64       `json:"auth_timeout"`
	MaxControlLine   int           `json:"max_control_line"`
	MaxPayload       int           `json:"max_payload"`
	MaxPending       int64         `json:"max_pending"`
	Cluster          ClusterVarz   `json:"cluster"`
	Gateway          struct{}      `json:"gateway"`
	Leaf             struct{}      `json:"leaf"`
	MQTT             struct{}      `json:"mqtt"`
	WebSocket        struct{}      `json:"websocket"`
	JetStream        struct{}      `json:"jetstream"`
	TLSTimeout       float64       `json:"tls_timeout"`
	WriteDeadline    time.Duration `json:"write_deadline"`
	WriteTimeout     string        `json:"write_timeout,omitempty"`

	Start            time.Time `json:"start"`
	Now              time.Time `json:"now"`
	Uptime           string    `json:"uptime"`
	Mem              int64     `json:"mem"`
	Cores            int       `json:"cores"`
	GoMaxProcs       int       `json:"gomaxprocs"`
	GoMemLimit       int64     `json:"gomemlimit,omitempty"`
	CPU              float64   `json:"cpu"`
	Connections      int       `json:"connections"`
	TotalConnections uint64    `json:"total_connections"`
	Routes           int       `json:"routes"`
	Remotes          int       `json:"remotes"`
	Leafnodes        int       `json:"leafnodes"`
	InMsgs           uint64    `json:"in_msgs"`
	InBytes          uint64    `json:"in_bytes"`
	InClientMsgs     uint64    `json:"in_client_msgs"`
	InClientBytes    uint64    `json:"in_client_bytes"`
	OutMsgs          uint64    `json:"out_msgs"`
	OutBytes         uint64    `json:"out_bytes"`
	OutClientMsgs    uint64    `json:"out_client_msgs"`
	OutClientBytes   uint64    `json:"out_client_bytes"`
	SlowConsumers    uint64    `json:"slow_consumers"`
	StaleConnections uint64    `json:"stale_connections"`
	StalledClients   uint64    `json:"stalled_clients"`
	Subscriptions    int64     `json:"subscriptions"`

	HTTPReqStats    map[string]uint64 `json:"http_req_stats"`
	ConfigLoadTime  time.Time         `json:"config_load_time"`
	ConfigDigest    string            `json:"config_digest"`
	Tags            []string          `json:"tags,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`
	SystemAccount   string            `json:"system_account,omitempty"`
	SlowConsumer    ByKind            `json:"slow_consumer_stats"`
	StaleConnection ByKind            `json:"stale_connection_stats"`
	DiskIOWait      DiskIOWait        `json:"disk_io_wait_stats"`
	TLSCertNotAfter time.Time         `json:"tls_cert_not_after,omitzero"`
}

// ByKind counts by the kind of connection.
type ByKind struct {
	Clients  uint64 `json:"clients"`
	Routes   uint64 `json:"routes"`
	Gateways uint64 `json:"gateways"`
	Leafs    uint64 `json:"leafs"`
}

// DiskIOWait tells how long the disk was waited for; never, without streams.
type DiskIOWait struct {
	Waiters     int64  `json:"waiters"`
	Waits       uint64 `json:"waits"`
	WaitTime    uint64 `json:"wait_time"`
	MaxWaitTime uint64 `json:"max_wait_time"`
}

func (s *Server) varz(*query) (any, error) {
	o, info, now := s.host.Options(), &s.host.Info, time.Now().UTC()
	host, port := splitPort(s.Addr())
	config := s.config.Load()
	v := Varz{
		ServerID: s.static.ServerID, ServerName: s.static.ServerName,
		Version: s.static.Level, CoveyVersion: s.static.Version, Proto: info.Proto, Go: info.Go,
		Host: info.Host, Port: info.Port, AuthRequired: s.host.Auth.Required(),
		MaxConnections: o.MaxConnections, MaxSubscriptions: o.MaxSubscriptions,
		PingInterval: o.PingInterval, PingMax: o.PingMax, HTTPHost: host, HTTPPort: port, HTTPBasePath: s.static.BasePath,
		AuthTimeout: o.AuthTimeout.Seconds(), MaxControlLine: o.MaxControlLine, MaxPayload: o.MaxPayload,
		MaxPending: o.Egress.MaxPending, TLSTimeout: secure.DefaultTimeout.Seconds(), WriteDeadline: o.Egress.WriteDeadline,
		Start: s.static.Started.UTC(), Now: now, Uptime: uptime(now.Sub(s.static.Started)),
		Cores: runtime.NumCPU(), GoMaxProcs: runtime.GOMAXPROCS(0),
		HTTPReqStats: s.counts(), ConfigLoadTime: config.at, ConfigDigest: config.digest, SystemAccount: s.host.SystemAccount,
	}
	if o.Egress.Patient {
		v.WriteTimeout = "retry"
	}
	v.Tags, v.Metadata = config.labels.Tags, config.labels.Metadata
	if s.static.TLS {
		v.HTTPPort, v.HTTPSPort = 0, v.HTTPPort
	}
	if t := o.TLS; t != nil {
		v.TLSRequired, v.TLSVerify, v.TLSTimeout, v.TLSCertNotAfter = !t.AllowPlain, t.Verify, t.Timeout.Seconds(), t.NotAfter()
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		v.GoMemLimit = limit
	}
	s.cluster(&v)
	s.measure(&v)
	return v, nil
}

// measure fills in what changes by itself.
func (s *Server) measure(v *Varz) {
	v.Mem = ResidentBytes()
	v.CPU = s.cpu.percent(time.Now())
	v.TotalConnections = s.host.Totals.Connections.Load()
	sum := s.host.Sum()
	t := sum.Traffic
	v.Connections, v.StalledClients = sum.Connections, sum.Stalls
	v.InMsgs, v.InBytes, v.OutMsgs, v.OutBytes = t.InMessages, t.InBytes, t.OutMessages, t.OutBytes
	v.InClientMsgs, v.InClientBytes, v.OutClientMsgs, v.OutClientBytes = v.InMsgs, v.InBytes, v.OutMsgs, v.OutBytes
	v.SlowConsumers = s.host.Totals.SlowConsumers.Load()
	v.StaleConnections = s.host.Totals.Stale.Load()
	v.SlowConsumer.Clients, v.StaleConnection.Clients = v.SlowConsumers, v.StaleConnections
	s.accounts.Each(func(a *account.Account) { v.Subscriptions += a.Index.Count() })
	s.measureRoutes(v)
}

func splitPort(addr string) (string, int) {
	if addr == "" {
		return "", 0
	}
	i := strings.LastIndexByte(addr, ':')
	port, _ := strconv.Atoi(addr[i+1:]) // an address of our own listener
	return strings.Trim(addr[:i], "[]"), port
}

// uptime formats a duration as nats-server does: 1y2d3h4m5s without leading
// zero units.
func uptime(d time.Duration) string {
	const day, year = 24 * time.Hour, 365 * 24 * time.Hour
	var b strings.Builder
	show := false
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{year, "y"}, {day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		n := d / u.of
		d -= n * u.of
		if show = show || n > 0; show {
			b.WriteString(strconv.Itoa(int(n)) + u.name)
		}
	}
	return b.String() + strconv.Itoa(int(d/time.Second)) + "s"
}

// ResidentBytes reads the process's resident memory; 0 where there is no /proc.
func ResidentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
