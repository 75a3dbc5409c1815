package config

import (
	"math"
	"strings"
)

// keys says how each top-level key is read.
func (f *file) keys() table {
	t := table{}
	f.addListeners(t)
	f.addLimits(t)
	f.addLogging(t)
	f.addAccess(t)
	t.add(f.cluster, "cluster")
	f.addTLS(t)
	f.addProfile(t)
	f.addReports(t)
	f.addUnsupported(t)
	return t
}

func (f *file) addListeners(t table) {
	o := f.o
	t.add(f.listen(&o.Host, &o.Port), "listen")
	t.add(f.str(&o.Host), "host", "net")
	t.add(f.port(&o.Port), "port")
	t.add(f.advertise, "client_advertise")
	t.add(f.listen(&o.MonitorHost, &o.MonitorPort), "http")
	t.add(f.port(&o.MonitorPort), "http_port", "monitor_port")
	t.add(f.seen("https", f.listen(&o.MonitorHost, &o.MonitorTLSPort)), "https")
	t.add(f.seen("https", f.port(&o.MonitorTLSPort)), "https_port")
	t.add(f.str(&o.MonitorBasePath), "http_base_path")
	t.add(f.serverName, "server_name")
	t.add(f.serverTags, "server_tags")
	t.add(f.serverMetadata, "server_metadata")
	t.add(f.boolean(&o.NoHeaders), "no_header_support")
	t.add(f.boolean(&o.Clients.ProxyProtocol), "proxy_protocol")
	t.add(f.str(&o.PidFile), "pidfile", "pid_file")
	t.add(f.str(&o.PortsFileDir), "ports_file_dir")
	t.add(f.seen("lame duck", f.duration(&o.LameDuckDuration, false)), "lame_duck_duration")
	t.add(f.seen("lame duck", f.duration(&o.LameDuckGrace, false)), "lame_duck_grace_period")
}

// advertise reads the address clients are told: a host, or host:port.
func (f *file) advertise(n node) {
	v, ok := as[string](&f.reader, n, "a string")
	if !ok {
		return
	}
	if _, _, err := HostPort(v, 1); err != nil {
		f.problem(n, "%s is %q: %v", n.key, v, err)
		return
	}
	f.o.Advertise = v
}

func (f *file) serverName(n node) {
	if v, ok := as[string](&f.reader, n, "a string"); ok {
		if strings.Contains(v, " ") {
			f.problem(n, "%s cannot contain spaces", n.key)
			return
		}
		f.o.ServerName = v
	}
}

func (f *file) addLimits(t table) {
	c := &f.o.Clients
	t.add(integer(&f.reader, &c.MaxControlLine, 0, math.MaxInt32), "max_control_line")
	t.add(f.seen("max_payload", integer(&f.reader, &c.MaxPayload, 0, math.MaxInt32)), "max_payload")
	t.add(f.seen("max_pending", integer(&f.reader, &c.Egress.MaxPending, 0, math.MaxInt64)), "max_pending")
	t.add(integer(&f.reader, &c.MaxConnections, -1, math.MaxInt32), "max_connections", "max_conn")
	t.add(integer(&f.reader, &c.MaxSubscriptions, -1, math.MaxInt32), "max_subscriptions", "max_subs")
	t.add(integer(&f.reader, &c.MaxSubTokens, 1, math.MaxUint8), "max_sub_tokens", "max_subscription_tokens")
	t.add(f.seen("ping_interval", f.duration(&c.PingInterval, true)), "ping_interval")
	t.add(integer(&f.reader, &c.PingMax, 0, math.MaxInt32), "ping_max")
	t.add(f.seen("write_deadline", f.duration(&c.Egress.WriteDeadline, true)), "write_deadline")
	t.add(f.writeTimeout(&c.Egress.Patient, false), "write_timeout")
	t.add(f.boolean(&c.NoStall), "no_fast_producer_stall")
	t.add(integer(&f.reader, &c.MaxClosed, 0, closedMax), "max_closed_clients")
}

// closedMax bounds the memory for connections that have ended.
const closedMax = 10_000_000

// writeTimeout reads what becomes of who does not take in time what it is
// offered: whether it is enough to take a part of it.
func (f *file) writeTimeout(patient *bool, fallback bool) func(node) {
	return func(n node) {
		v, ok := as[string](&f.reader, n, "a string")
		if !ok {
			return
		}
		switch strings.ToLower(v) {
		case "default":
			*patient = fallback
		case "close":
			*patient = false
		case "retry":
			*patient = true
		default:
			f.problem(n, "%s must be 'default', 'close' or 'retry'", n.key)
		}
	}
}

func (f *file) addLogging(t table) {
	l := &f.o.Log
	t.add(f.boolean(&l.Debug), "debug")
	f.addTrace(t)
	t.add(f.boolean(&l.Time), "logtime")
	t.add(f.boolean(&l.UTC), "logtime_utc")
	t.add(f.str(&l.File), "logfile", "log_file")
	t.add(integer(&f.reader, &l.SizeLimit, 0, math.MaxInt64), "logfile_size_limit", "log_size_limit")
	t.add(integer(&f.reader, &l.MaxFiles, 0, math.MaxInt32), "logfile_max_num", "log_max_num")
	t.add(f.boolean(&l.Syslog), "syslog")
	t.add(f.str(&l.RemoteSyslog), "remote_syslog")
}

// addUnsupported refuses the keys whose features do not exist yet, but for
// values that ask for what is so anyway.
func (f *file) addUnsupported(t table) {
	t.add(f.unsupported,
		"gateway", "leaf", "leafnodes", "websocket", "ws", "mqtt",
		"ocsp", "ocsp_cache", "proxies",
		"default_js_domain")
	t.add(f.storeDir, "store_dir", "storedir")
	t.add(f.unsupportedUnless(false), "jetstream")
	// There is no such cache: a memo of each connection takes its place.
	t.add(f.boolean(new(bool)), "disable_sublist_cache", "no_sublist_cache")
	t.add(f.featureFlags, "feature_flags")
}
