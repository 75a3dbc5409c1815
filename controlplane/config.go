// Package controlplane assembles the control plane: the store, the custody of
// keys, the public API over gRPC and REST, and the background work. It owns
// their lifetimes and nothing else; what they do is in the packages below it.
package controlplane

import (
	"log/slog"
	"net"
	"net/http"
	"strings"

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

	// Custodian seals the secrets in the store: "local", a key file in DataDir, which
	// is the default, or the URL of a key service's key. FormerCustodians open what
	// they sealed before, until it has been sealed anew.
	Custodian        string
	FormerCustodians []string

	LedgerURL   Secret // of a Postgres database; without it the ledger is an SQLite file in DataDir
	AdoptLedger bool   // make this ledger the installation's in place of the one that it has

	Audit AuditConfig

	// IssuerClient asks the identity providers that tenants name; nil is one that
	// reaches public addresses over TLS only.
	IssuerClient *http.Client

	// ReceiverClient posts to the receivers of alerts that tenants name; nil is one
	// that reaches public addresses over TLS only, or any address over TLS with
	// PrivateReceivers.
	ReceiverClient   *http.Client
	PrivateReceivers bool

	Logger *slog.Logger
}

// AuditConfig says who gets copies of the audit log; "" is nobody.
type AuditConfig struct {
	File          string
	WebhookURL    Secret // its query may be one
	WebhookSecret Secret // signs what is posted
	OTLP          string // https://host:4317
}

// EtcdConfig points at an etcd elsewhere. With no endpoints the control plane
// runs one of its own, in its data directory and listening on nothing.
type EtcdConfig struct {
	Endpoints []string
	CAFile    string
	CertFile  string
	KeyFile   string

	User     string // of etcd's own authentication; "" is none
	Password Secret
}

// validate finds what cannot work before anything is dialled.
func (c EtcdConfig) validate() error {
	if len(c.Endpoints) == 0 {
		if c.CAFile != "" || c.CertFile != "" || c.KeyFile != "" || c.User != "" || !c.Password.IsZero() {
			return errs.New(errs.Invalid, "ETCD_ENDPOINTS_MISSING", "TLS files or a user are given for etcd, and no endpoints").
				WithNext("give --etcd-endpoints; the etcd in this process needs neither")
		}
		return nil
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return errs.New(errs.Invalid, "TLS_INCOMPLETE", "TLS to etcd needs both a client certificate and a key")
	}
	if (c.User == "") != c.Password.IsZero() {
		return errs.New(errs.Invalid, "ETCD_USER_INCOMPLETE", "etcd's authentication needs both a user and a password")
	}
	return c.validateEndpoints()
}

func (c EtcdConfig) validateEndpoints() error {
	secure := 0
	for _, e := range c.Endpoints {
		scheme, address, ok := strings.Cut(e, "://")
		switch {
		case !ok || scheme != "http" && scheme != "https" || address == "":
			return errs.New(errs.Invalid, "ETCD_ENDPOINT_INVALID", "%q is not the URL of an etcd member", e).
				WithNext("give http://host:2379 or https://host:2379 for each member, with commas between")
		case scheme == "https":
			secure++
		case !loopback(address) && (c.User != "" || c.CAFile != "" || c.CertFile != ""):
			return errs.New(errs.Invalid, "PLAINTEXT_EXPOSED", "%s is reached without TLS, and a password or a certificate is given for it", e).
				WithNext("use https://")
		}
	}
	if secure != 0 && secure != len(c.Endpoints) {
		return errs.New(errs.Invalid, "ETCD_ENDPOINT_INVALID", "some etcd endpoints are https:// and some are http://").WithNext("use https:// for all")
	}
	return nil
}

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
	if err := c.Etcd.validate(); err != nil {
		return err
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
