// Package controlplane assembles the control plane: the store, the custody of
// keys, the public API over gRPC and REST, and the background work. It owns
// their lifetimes and nothing else; what they do is in the packages below it.
package controlplane

import (
	"log/slog"
	"net"
	"time"

	"github.com/coveymq/covey/internal/errs"
)

// The default addresses: loopback only.
const (
	DefaultAPIAddr   = "127.0.0.1:7422"
	DefaultFleetAddr = "127.0.0.1:7423"
	DefaultHTTPAddr  = "127.0.0.1:7480"
	DefaultOTLPAddr  = "127.0.0.1:4317"
)

// Config says where the control plane keeps its data and where it listens.
type Config struct {
	DataDir string // made if missing; nobody else may use it at the same time

	APIAddr   string // gRPC; port 0 is any free one
	HTTPAddr  string // REST
	FleetAddr string // brokers
	OTLPAddr  string // usage reports

	// TLS of the gRPC and REST listeners. Without it they must be on loopback.
	TLSCertFile string
	TLSKeyFile  string

	Etcd EtcdConfig

	Logger *slog.Logger
}

// EtcdConfig points at an etcd elsewhere. With no endpoints the control plane
// runs one of its own, in its data directory and listening on nothing.
type EtcdConfig struct {
	Endpoints []string
	CAFile    string
	CertFile  string
	KeyFile   string
}

const etcdDialTimeout = 10 * time.Second

func (c *Config) setDefaults() {
	for _, d := range []struct {
		addr *string
		is   string
	}{{&c.APIAddr, DefaultAPIAddr}, {&c.HTTPAddr, DefaultHTTPAddr}, {&c.FleetAddr, DefaultFleetAddr}, {&c.OTLPAddr, DefaultOTLPAddr}} {
		if *d.addr == "" {
			*d.addr = d.is
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

func (c *Config) validate() error {
	if c.DataDir == "" {
		return errs.New(errs.Invalid, "DATA_DIR_MISSING", "no data directory is given")
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		return errs.New(errs.Invalid, "TLS_INCOMPLETE", "TLS needs both a certificate and a key")
	}
	if c.TLSCertFile != "" {
		return nil
	}
	for _, addr := range []string{c.APIAddr, c.HTTPAddr} {
		if !loopback(addr) {
			return errs.New(errs.Invalid, "PLAINTEXT_EXPOSED", "%s is not a loopback address, and API keys must not cross a network in the clear", addr).
				WithNext("give a TLS certificate and key, or listen on 127.0.0.1")
		}
	}
	return nil
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
