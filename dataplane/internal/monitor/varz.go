package monitor

import (
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/conn"
)

// Varz is the answer of /varz, as far as the broker has what it tells.
type Varz struct {
	ServerID         string            `json:"server_id"`
	ServerName       string            `json:"server_name"`
	Version          string            `json:"version"`
	CoveyVersion     string            `json:"covey_version"`
	Proto            int               `json:"proto"`
	Go               string            `json:"go"`
	Host             string            `json:"host"`
	Port             int               `json:"port"`
	AuthRequired     bool              `json:"auth_required,omitempty"`
	MaxConnections   int               `json:"max_connections"`
	MaxSubscriptions int               `json:"max_subscriptions,omitempty"`
	PingInterval     time.Duration     `json:"ping_interval"`
	PingMax          int               `json:"ping_max"`
	HTTPHost         string            `json:"http_host"`
	HTTPPort         int               `json:"http_port"`
	AuthTimeout      float64           `json:"auth_timeout"`
	MaxControlLine   int               `json:"max_control_line"`
	MaxPayload       int               `json:"max_payload"`
	MaxPending       int64             `json:"max_pending"`
	WriteDeadline    time.Duration     `json:"write_deadline"`
	Start            time.Time         `json:"start"`
	Now              time.Time         `json:"now"`
	Uptime           string            `json:"uptime"`
	Mem              int64             `json:"mem"`
	Cores            int               `json:"cores"`
	GoMaxProcs       int               `json:"gomaxprocs"`
	CPU              float64           `json:"cpu"`
	Connections      int               `json:"connections"`
	TotalConnections uint64            `json:"total_connections"`
	InMsgs           uint64            `json:"in_msgs"`
	OutMsgs          uint64            `json:"out_msgs"`
	InBytes          uint64            `json:"in_bytes"`
	OutBytes         uint64            `json:"out_bytes"`
	SlowConsumers    uint64            `json:"slow_consumers"`
	StaleConnections uint64            `json:"stale_connections"`
	Subscriptions    int64             `json:"subscriptions"`
	HTTPReqStats     map[string]uint64 `json:"http_req_stats"`
}

func (s *Server) varz(*http.Request) (any, error) {
	o, info, now := s.host.Options(), &s.host.Info, time.Now()
	host, port := splitPort(s.Addr())
	v := Varz{
		ServerID: s.static.ServerID, ServerName: s.static.ServerName,
		Version: s.static.Level, CoveyVersion: s.static.Version, Proto: info.Proto, Go: info.Go,
		Host: info.Host, Port: info.Port, AuthRequired: s.host.Auth.Required(),
		MaxConnections: o.MaxConnections, MaxSubscriptions: o.MaxSubscriptions,
		PingInterval: o.PingInterval, PingMax: o.PingMax, HTTPHost: host, HTTPPort: port,
		AuthTimeout: o.AuthTimeout.Seconds(), MaxControlLine: o.MaxControlLine, MaxPayload: o.MaxPayload,
		MaxPending: o.Egress.MaxPending, WriteDeadline: o.Egress.WriteDeadline,
		Start: s.static.Started, Now: now, Uptime: uptime(now.Sub(s.static.Started)),
		Mem: residentBytes(), Cores: runtime.NumCPU(), GoMaxProcs: runtime.GOMAXPROCS(0), CPU: cpuPercent(now.Sub(s.static.Started)),
		TotalConnections: s.host.Totals.Connections.Load(), SlowConsumers: s.host.Totals.SlowConsumers.Load(),
		StaleConnections: s.host.Totals.Stale.Load(), HTTPReqStats: s.counts(),
		InMsgs: s.host.Totals.InMessages.Load(), InBytes: s.host.Totals.InBytes.Load(),
		OutMsgs: s.host.Totals.OutMessages.Load(), OutBytes: s.host.Totals.OutBytes.Load(),
	}
	for _, c := range s.host.Clients() {
		t := c.Traffic()
		v.add(t)
	}
	v.Connections = s.host.Len()
	v.Subscriptions = s.subscriptions()
	return v, nil
}

func (v *Varz) add(t conn.Traffic) {
	v.InMsgs += t.InMessages
	v.InBytes += t.InBytes
	v.OutMsgs += t.OutMessages
	v.OutBytes += t.OutBytes
}

func splitPort(addr string) (string, int) {
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

// residentBytes reads the process's resident memory; 0 where there is no /proc.
func residentBytes() int64 {
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
