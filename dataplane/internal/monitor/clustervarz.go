package monitor

import (
	"time"

	"github.com/coveymq/covey/dataplane/internal/secure"
)

// ClusterVarz is what /varz says of the broker's side of its cluster.
type ClusterVarz struct {
	Name            string        `json:"name,omitempty"`
	Host            string        `json:"addr,omitempty"`
	Port            int           `json:"cluster_port,omitempty"`
	AuthTimeout     float64       `json:"auth_timeout,omitempty"`
	URLs            []string      `json:"urls,omitempty"`
	TLSTimeout      float64       `json:"tls_timeout,omitempty"`
	TLSRequired     bool          `json:"tls_required,omitempty"`
	TLSVerify       bool          `json:"tls_verify,omitempty"`
	PoolSize        int           `json:"pool_size,omitempty"`
	WriteDeadline   time.Duration `json:"write_deadline,omitempty"`
	WriteTimeout    string        `json:"write_timeout,omitempty"`
	TLSCertNotAfter time.Time     `json:"tls_cert_not_after,omitzero"`
}

// cluster fills in what the cluster's configuration says, and where clients find
// its brokers.
func (s *Server) cluster(v *Varz) {
	if c := s.host.Cluster(); c != nil {
		v.ConnectURLs = c.URLs
	}
	if s.mesh == nil {
		return
	}
	at := s.mesh.Listening()
	v.Cluster = ClusterVarz{
		Name: at.Name, Host: at.Host, Port: at.Port, AuthTimeout: at.AuthTimeout.Seconds(), URLs: at.URLs,
		TLSTimeout: secure.DefaultTimeout.Seconds(), TLSRequired: at.TLS, TLSVerify: at.TLS, TLSCertNotAfter: at.CertNotAfter,
		PoolSize: at.PoolSize, WriteDeadline: at.WriteDeadline,
	}
	if at.TLS {
		v.Cluster.TLSTimeout = at.TLSTimeout.Seconds()
	}
	if !at.Retries {
		v.Cluster.WriteTimeout = "close"
	}
}

// measureRoutes adds what went over routes to what went to and from clients.
func (s *Server) measureRoutes(v *Varz) {
	if s.mesh == nil {
		return
	}
	v.Routes, v.Remotes = s.mesh.Count()
	t := s.mesh.Totals()
	v.InMsgs += t.InMessages
	v.InBytes += t.InBytes
	v.OutMsgs += t.OutMessages
	v.OutBytes += t.OutBytes
	v.SlowConsumer.Routes, v.StaleConnection.Routes = t.Slow, t.Stale
	v.SlowConsumers += t.Slow
	v.StaleConnections += t.Stale
}
