package conn

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/coveymq/covey/dataplane/internal/account"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/egress"
	"github.com/coveymq/covey/dataplane/internal/interest"
	"github.com/coveymq/covey/dataplane/internal/natslog"
	"github.com/coveymq/covey/dataplane/internal/wire"
)

// Tracing says what of the protocol is logged, line by line, in nats-server's
// form. Readers look at it once for each batch, and deliveries at a flag of the
// destination that they look at anyway.
type Tracing struct {
	On bool
	// HeadersOnly leaves payloads out.
	HeadersOnly bool
	// MaxPayload is how many bytes of a payload are shown; 0 for all.
	MaxPayload int
}

// trace makes tracing what the options say for the connections there are. New
// ones see it when they are set up: either they find the options changed, or
// they are in the list.
func (h *Host) trace(on bool) {
	for _, c := range h.Clients() {
		if on {
			c.out.Flags.Or(egress.Traced)
		} else {
			c.out.Flags.And(^egress.Traced)
		}
	}
}

// traceFlag marks the connection for those who deliver to it.
func (c *Client) traceFlag() {
	if c.host.Options().Trace.On {
		c.out.Flags.Or(egress.Traced)
	}
}

func (c *Client) traceLine(text string) {
	c.host.Log.LogAttrs(context.Background(), natslog.LevelTrace, c.label()+" - "+text)
}

// label names the connection in log lines as nats-server does.
func (c *Client) label() string {
	addr := netip.AddrPortFrom(c.addr().Addr().Unmap(), c.addr().Port())
	label := fmt.Sprintf("%s - cid:%d", addr, c.id)
	who := c.shown.Load()
	if who == nil {
		return label
	}
	var said []string
	if who.version != "" {
		said = append(said, "v"+who.version)
	}
	for _, s := range [...]string{who.lang, who.name} {
		if s != "" {
			said = append(said, s)
		}
	}
	if len(said) > 0 {
		label += " - " + strconv.Quote(strings.Join(said, ":"))
	}
	if user := userLabel(who.identity); user != "" {
		label += " - " + strconv.Quote(who.identity.Account.Key+"/"+user)
	}
	return label
}

func userLabel(id *account.Identity) string {
	switch {
	case id.User == "":
		return ""
	case id.User == auth.HiddenToken:
		return "token"
	case id.Claimed != nil:
		return "jwt:" + id.User
	}
	return "user:" + id.User
}

// traceIn logs an operation of the client.
func (c *Client) traceIn(t *Tracing, op *wire.Op) {
	switch op.Kind {
	case wire.Pub:
		c.tracePublish(t, "PUB", strconv.Itoa(op.Size), op)
	case wire.HPub:
		c.tracePublish(t, "HPUB", fmt.Sprintf("%d %d", op.HeaderLen, op.Size), op)
	case wire.Sub:
		c.traceLine(fmt.Sprintf("<<- [SUB %s]", op.Arg))
	case wire.Unsub:
		c.traceLine(fmt.Sprintf("<<- [UNSUB %s]", op.Arg))
	case wire.Connect:
		c.traceLine("<<- [CONNECT " + withoutSecrets(op.Arg) + "]")
	case wire.Ping:
		c.traceLine("<<- [PING]")
	case wire.Pong:
		c.traceLine("<<- [PONG]")
	default: // what clients do not send, or what means nothing
	}
}

func (c *Client) tracePublish(t *Tracing, verb, sizes string, op *wire.Op) {
	reply := ""
	if op.Reply != nil {
		reply = string(op.Reply) + " "
	}
	c.traceLine(fmt.Sprintf("<<- [%s %s %s%s]", verb, op.Subject, reply, sizes))
	c.tracePayload(t, "<<-", op.Body[:op.Size], op.HeaderLen)
}

// tracePayload logs what a message carries, if anything.
func (c *Client) tracePayload(t *Tracing, direction string, body []byte, headers int) {
	if t.HeadersOnly {
		if headers <= 0 || headers > len(body) {
			return
		}
		body = bytes.TrimSuffix(body[:headers], []byte(wire.CRLF+wire.CRLF))
	}
	dots := ""
	if t.MaxPayload > 0 && len(body) > t.MaxPayload {
		body, dots = body[:t.MaxPayload], "..."
	}
	if len(body) == 0 {
		return
	}
	quoted := strconv.Quote(string(body))
	c.traceLine(fmt.Sprintf("%s MSG_PAYLOAD: [%s%s\"]", direction, quoted[:len(quoted)-1], dots))
}

// traceOut logs what the broker says to the client.
func (c *Client) traceOut(text string) {
	if c.out.Flags.Load()&egress.Traced != 0 {
		c.traceLine("->> [" + text + "]")
	}
}

// traceDelivery logs a message on its way to a subscriber.
func traceDelivery(m *egress.Message, sub *interest.Sub) {
	c := owner(sub)
	t := &c.host.Options().Trace
	line, body, _ := bytes.Cut(m.Tail, []byte(wire.CRLF))
	verb, headers := "MSG", 0
	if m.Headers {
		verb = "HMSG"
		if f := bytes.Fields(line); len(f) >= 2 {
			headers = wire.ParseSize(f[len(f)-2])
		}
	}
	c.traceLine(fmt.Sprintf("->> [%s %s%s%s]", verb, m.Subject, sub.Frame(), line))
	c.tracePayload(t, "->>", body[:min(m.Size, len(body))], headers)
}

// traceEnd logs that a subscription has ended.
func (c *Client) traceEnd(sub *interest.Sub) {
	if c.out.Flags.Load()&egress.Traced != 0 {
		c.traceLine("<-> [DELSUB " + sub.SID() + "]")
	}
}

// hidden stands for a secret.
const hidden = `"[REDACTED]"`

// withoutSecrets returns the JSON of a CONNECT without what must stay between
// client and broker. What cannot be understood is not shown.
func withoutSecrets(arg []byte) string {
	d := json.NewDecoder(bytes.NewReader(arg))
	var b strings.Builder
	from := int64(0)
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return hidden
	}
	for d.More() {
		key, err := d.Token()
		name, ok := key.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return b.String() + string(arg[from:max(from, 1)]) + hidden
		}
		if end := d.InputOffset(); secret(name) {
			b.Write(arg[from : end-int64(len(value))])
			b.WriteString(hidden)
			from = end
		}
	}
	if _, err := d.Token(); err != nil {
		return b.String() + hidden
	}
	return b.String() + string(arg[from:])
}

func secret(key string) bool {
	key = strings.ToLower(key) // as JSON is read
	switch key {
	case "jwt", "sig", "nkey", "proxy_sig":
		return true
	}
	return strings.HasPrefix(key, "pass") || strings.HasPrefix(key, "auth_token")
}
