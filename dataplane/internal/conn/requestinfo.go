package conn

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// clientInfo is what a service learns of who asks, in nats-server's form.
type clientInfo struct {
	Start      *time.Time    `json:"start,omitempty"`
	Host       string        `json:"host,omitempty"`
	ID         uint64        `json:"id,omitempty"`
	Account    string        `json:"acc,omitempty"`
	Service    string        `json:"svc,omitempty"`
	User       string        `json:"user,omitempty"`
	Name       string        `json:"name,omitempty"`
	Lang       string        `json:"lang,omitempty"`
	Version    string        `json:"ver,omitempty"`
	RTT        time.Duration `json:"rtt,omitempty"`
	Server     string        `json:"server,omitempty"`
	Cluster    string        `json:"cluster,omitempty"`
	IssuerKey  string        `json:"issuer_key,omitempty"`
	NameTag    string        `json:"name_tag,omitempty"`
	Tags       []string      `json:"tags,omitempty"`
	Kind       string        `json:"kind,omitempty"`
	ClientType string        `json:"client_type,omitempty"`
}

// infoOf says who is behind a connection: in full, or only the account and how
// far away the client is.
func (h *Host) infoOf(c *Client, full bool) *clientInfo {
	who := c.shown.Load()
	if who == nil {
		return &clientInfo{}
	}
	id := who.identity
	info := &clientInfo{Account: id.Account.Key, RTT: time.Duration(c.rtt.Load())}
	if !full {
		return info
	}
	info.Start, info.Host, info.ID = &c.start, c.remote.Addr().String(), c.id
	info.User, info.Name, info.Lang, info.Version = id.Who(), who.name, who.lang, who.version
	info.IssuerKey, info.Tags = id.Issuer, id.Tags
	if id.Claimed != nil {
		info.NameTag = id.Name // of the user; that of the account would say nothing new
	}
	info.Kind, info.ClientType = "Client", "nats"
	h.locate(info)
	return info
}

func (h *Host) locate(info *clientInfo) {
	info.Server, info.Cluster = h.Info.ServerName, h.clusterName()
}

// infoHeader tells a service who asks.
const infoHeader = "Nats-Request-Info"

// introduce makes the message of a request: that of op, with a header that says
// who asks. Behind the first service the header names the account between.
func (w *worker) introduce(c *carrier, from *egress.Conn, a *account.Account, p *passage, op *wire.Op) {
	var header []byte
	if op.HeaderLen > 0 {
		header = op.Body[:op.HeaderLen]
	}
	info := w.requester(from, a, p, header)
	c.op = *op
	c.op.Kind, c.op.Reply = wire.HPub, nil
	c.body = appendFields(c.body[:0], header, infoHeader)
	text, err := json.Marshal(info)
	if err != nil {
		text = []byte("{}") // never: all of its fields can be written
	}
	c.body = append(append(append(append(c.body, infoHeader...), ": "...), text...), "\r\n\r\n"...)
	headerLen := len(c.body)
	c.body = append(c.body, op.Body[max(op.HeaderLen, 0):]...)
	c.op.Resize(headerLen, c.body)
}

func (w *worker) requester(from *egress.Conn, a *account.Account, p *passage, header []byte) *clientInfo {
	system := p.link.From.Key == w.host.SystemAccount
	if p.before != nil && p.before.link != nil {
		var info clientInfo
		if err := json.Unmarshal(headerValue(header, infoHeader), &info); err == nil {
			info.Service = a.Key
			if !p.before.link.Import.Share && (p.link.Import.Share || system) {
				w.host.locate(&info)
			}
			return &info
		}
	}
	client, _ := from.Owner.(*Client)
	if client == nil {
		return &clientInfo{Account: a.Key}
	}
	info := w.host.infoOf(client, p.link.Import.Share)
	if system {
		w.host.locate(info)
	}
	return info
}

// headerValue returns the value of a header, or nothing.
func headerValue(block []byte, key string) []byte {
	for len(block) > 0 {
		line, tail, _ := bytes.Cut(block, []byte(wire.CRLF))
		if value, ok := bytes.CutPrefix(line, []byte(key+":")); ok {
			return bytes.TrimSpace(value)
		}
		block = tail
	}
	return nil
}
