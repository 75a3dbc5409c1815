package conn

import (
	"crypto/rand"
	"encoding/base64"
)

// Info is the JSON of the INFO line, as far as clients see it, in nats-server's
// order.
type Info struct {
	ServerID          string   `json:"server_id"`
	ServerName        string   `json:"server_name"`
	Version           string   `json:"version"`
	Proto             int      `json:"proto"`
	GitCommit         string   `json:"git_commit,omitempty"`
	Go                string   `json:"go"`
	Host              string   `json:"host"`
	Port              int      `json:"port"`
	Headers           bool     `json:"headers"`
	AuthRequired      bool     `json:"auth_required,omitempty"`
	TLSRequired       bool     `json:"tls_required,omitempty"`
	TLSVerify         bool     `json:"tls_verify,omitempty"`
	TLSAvailable      bool     `json:"tls_available,omitempty"`
	MaxPayload        int      `json:"max_payload"`
	JetStream         bool     `json:"jetstream,omitempty"`
	ClientID          uint64   `json:"client_id,omitempty"`
	ClientIP          string   `json:"client_ip,omitempty"`
	Nonce             string   `json:"nonce,omitempty"`
	Cluster           string   `json:"cluster,omitempty"`
	ClusterDynamic    bool     `json:"cluster_dynamic,omitempty"`
	Domain            string   `json:"domain,omitempty"`
	ConnectURLs       []string `json:"connect_urls,omitempty"`
	LameDuckMode      bool     `json:"ldm,omitempty"`
	ConnectInfo       bool     `json:"connect_info,omitempty"`
	RemoteAccount     string   `json:"remote_account,omitempty"`
	IsSystemAccount   bool     `json:"acc_is_sys,omitempty"`
	JetStreamAPILevel int      `json:"api_lvl,omitempty"`
	XKey              string   `json:"xkey,omitempty"`
}

// nonceBytes is the length of a nonce before encoding, as in nats-server.
const nonceBytes = 11

func newNonce() string {
	var b [nonceBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// info returns what this client is told now.
func (c *Client) info() Info {
	i := c.host.Info
	if a := c.host.advertised.Load(); a != nil {
		i.Host, i.Port = a.Host, a.Port
	}
	i.ClientID = c.id
	if !c.host.Options().ProxyProtocol || c.admitted.Load() || c.behind.Load() != nil {
		i.ClientIP = c.addr().Addr().Unmap().String() // else it is not known yet
	}
	i.LameDuckMode = c.host.lame.Load()
	if cluster := c.host.cluster.Load(); cluster != nil {
		i.Cluster, i.ClusterDynamic, i.ConnectURLs = cluster.Name, cluster.Dynamic, cluster.URLs
	}
	o := c.host.Options()
	i.MaxPayload = o.MaxPayload
	if t := o.TLS; t != nil {
		i.TLSRequired, i.TLSAvailable, i.TLSVerify = !t.AllowPlain, t.AllowPlain, t.Verify
	}
	return i
}

// sendInfo greets the client. Secured says that it comes through TLS, which it
// says was required then.
func (c *Client) sendInfo(secured bool) {
	i := c.info()
	i.TLSRequired = i.TLSRequired || secured
	greeting := c.host.Auth.Greeting()
	i.AuthRequired = greeting.AuthRequired
	if greeting.Nonce {
		c.nonce = newNonce()
		i.Nonce = c.nonce
	}
	var room [infoRoom]byte
	c.out.Control(i.appendLine(room[:0]))
}

// connectInfo tells the client which account it is bound to. It follows the
// first PONG, as in nats-server.
func (c *Client) connectInfo() []byte {
	i := c.info()
	i.AuthRequired = c.host.Auth.Required()
	i.RemoteAccount = c.identity.Account.Key
	i.IsSystemAccount = c.identity.Account.Key == c.host.SystemAccount
	i.ConnectInfo = true
	return i.line()
}

// announce sends INFO to a client that understands a second one.
func (c *Client) announce() {
	if !c.asyncInfo.Load() {
		return
	}
	i := c.info()
	i.AuthRequired = c.host.Auth.Required()
	c.out.Control(i.line())
}
