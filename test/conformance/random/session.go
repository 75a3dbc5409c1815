package random

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/coveymq/covey/test/conformance"
)

// Unit is a few steps that belong together: without one of them the others might
// wait for something that never comes.
type Unit []conformance.Step

// Session is what several connections do on one server.
type Session struct {
	Name  string
	Lines []string // of the configuration
	Units []Unit
}

// Script returns the session as a script.
func (s *Session) Script() *conformance.Script {
	script := &conformance.Script{
		Name:   "random/" + s.Name,
		Needs:  []string{"config", "auth", "accounts", "imports", "mappings"},
		Tags:   []string{conformance.TagLoose},
		Config: strings.Join(s.Lines, "\n") + "\n",
	}
	for _, u := range s.Units {
		script.Steps = append(script.Steps, u...)
	}
	return script
}

// peer is a connection of the session that is being drawn.
type peer struct {
	name      string
	user      *User
	headers   bool
	connected bool
	sids      []string
}

// drawing is a session that is being drawn.
type drawing struct {
	source
	setup    *Setup
	peers    []*peer
	named    int // connections so far
	messages int
	queues   int
	heard    []string // filters that somebody subscribed to
	units    []Unit
}

// DrawSession draws what happens on a server with that configuration.
func DrawSession(setup *Setup, seed, number uint64) *Session {
	d := &drawing{source: newSource(seed, number), setup: setup}
	for range d.between(1, 3) {
		d.enter()
	}
	for range d.between(6, 20) {
		d.act(d.peers[d.below(len(d.peers))])
	}
	return &Session{Name: fmt.Sprintf("%d-%d", seed, number), Lines: setup.Lines, Units: d.units}
}

// enter adds a connection; it says CONNECT when it acts first.
func (d *drawing) enter() {
	p := &peer{name: string(rune('a' + d.named))}
	d.named++
	d.peers = append(d.peers, p)
}

// leave replaces a connection that is closed by another.
func (d *drawing) leave(p *peer) {
	for i := range d.peers {
		if d.peers[i] == p {
			d.peers = append(d.peers[:i], d.peers[i+1:]...)
			break
		}
	}
	d.enter()
}

func send(p *peer, data string) conformance.Step {
	return conformance.Step{Conn: p.name, Verb: conformance.VerbSend, Text: conformance.Escape(data), Times: 1}
}

// say sends and waits until the server has seen to it.
func (d *drawing) say(p *peer, data string) {
	d.units = append(d.units, Unit{send(p, data), {Conn: p.name, Verb: conformance.VerbSync, Times: 1}})
}

// breakOff sends what the server may take for the beginning of something longer,
// and then what nobody takes for anything, so that the server has to close.
func (d *drawing) breakOff(p *peer, data string) {
	d.units = append(d.units, Unit{
		send(p, data),
		{Conn: p.name, Verb: conformance.VerbSend, Text: fmt.Sprintf(`\r\n{{repeat %d z}}`, d.setup.MaxPayload+8), Times: 1},
		{Conn: p.name, Verb: conformance.VerbGone, Times: 1},
		{Verb: conformance.VerbPause, Text: "3ms", Times: 1},
	})
	d.leave(p)
}

// act lets one connection do something.
func (d *drawing) act(p *peer) {
	if !p.connected && !d.chance(4) {
		d.connect(p)
		return
	}
	switch d.weighted(78, 9, 3, 3, 3, 4) {
	case 0:
		d.say(p, d.command(p))
	case 1:
		var batch strings.Builder
		for range d.between(2, 5) {
			batch.WriteString(d.command(p))
		}
		d.say(p, batch.String())
	case 2:
		d.breakOff(p, d.wrong())
	case 3:
		d.breakOff(p, d.damaged(d.command(p)))
	case 4:
		d.connect(p)
	default:
		d.answer(p)
	}
	if !p.connected { // nothing but CONNECT is taken from a stranger, unless strangers may come in
		p.connected = d.setup.Anonymous
	}
}

// command draws something that a server understands.
func (d *drawing) command(p *peer) string {
	switch d.weighted(30, 38, 16, 8, 4) {
	case 0:
		return d.subscribe(p)
	case 1:
		return d.publish()
	case 2:
		if !p.headers && !d.chance(5) {
			return d.publish()
		}
		return d.publishWithHeaders()
	case 3:
		return d.unsubscribe(p)
	}
	return d.verb(d.one("PING", "PING", "PONG", "+OK", "PING x y", `INFO {"x":1}`)) + d.end()
}

// verb draws how a verb is spelled.
func (d *drawing) verb(v string) string {
	if d.chance(90) {
		return v
	}
	b := []byte(v)
	for i := range b {
		if d.chance(50) {
			b[i] = strings.ToLower(v)[i]
		}
	}
	return string(b)
}

// blank draws what is between words.
func (d *drawing) blank() string {
	if d.chance(94) {
		return " "
	}
	return d.one("  ", "\t", " \t ", "   ")
}

// end draws how a line ends.
func (d *drawing) end() string {
	if d.chance(94) {
		return "\r\n"
	}
	return d.one("\n", " \r\n", "\t\r\n", " \n")
}

func (d *drawing) line(words ...string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(d.blank())
		}
		b.WriteString(w)
	}
	return b.String() + d.end()
}

// subject draws where to publish.
func (d *drawing) subject() string {
	if len(d.heard) > 0 && d.chance(40) {
		return d.filled(d.one(d.heard...))
	}
	switch d.weighted(72, 15, 5, 4, 4) {
	case 0:
		return d.filled(d.one(d.setup.Filters...))
	case 1:
		return d.filled(d.one(plain()...))
	case 2:
		return d.one(plain()...)
	case 3:
		return d.one("$SYS.x", "$SYS", "_INBOX.x", "$JS.x", "$G", "_R_.x", "_GR_.x.y", "$GR.x", "$NRG.x", "$MQTT.x", "_LR_.x", "$LDS.x", "_R_", "_SYS_.x")
	}
	return d.oddSubject()
}

func (d *drawing) oddSubject() string {
	return d.one("a..b", ".a", "a.", ".", "..", "a.>.b", "a*", "a.b*", "*a.b", "a>", ">.a", "*.", ".*", "a.*.", "é.ü", "a\x80b", "A.B", "a.\x01", "\x7f", "a\"b", "a'b", "0", "-1", "a.b.c.d.e.f.g.h", strings.Repeat("t.", 20)+"t", strings.Repeat("l", 70))
}

// reply draws where to answer; empty for nowhere.
func (d *drawing) reply() string {
	switch d.weighted(60, 25, 8, 4, 3) {
	case 0:
		return ""
	case 1:
		return d.one("_INBOX.a", "_INBOX.b.c", "in.a", "a", "a.b")
	case 2:
		return d.filled(d.one(d.setup.Filters...))
	case 3:
		return d.one("_R_.x", "_GR_.x", "$GR.x", "$SYS.x", "_R_", "_GR_.", "$JS.ACK.x", "*", ">", "a.*")
	}
	return d.oddSubject()
}

func (d *drawing) payload() string {
	d.messages++
	text := "m" + strconv.Itoa(d.messages)
	switch d.weighted(84, 6, 4, 3, 3) {
	case 1:
		return ""
	case 2:
		return text + strings.Repeat("p", d.setup.MaxPayload-len(text))
	case 3:
		return text + d.one("\r\n", "\r", "\n", "\r\nPING\r\n", "\x00\xff")
	case 4:
		return text + strings.Repeat("q", d.below(d.setup.MaxPayload-len(text)))
	}
	return text
}

func (d *drawing) size(n int) string {
	if d.chance(96) {
		return strconv.Itoa(n)
	}
	return d.one("0", "00", "000000")[:1] + strconv.Itoa(n)
}

func (d *drawing) publish() string {
	payload := d.payload()
	words := []string{d.verb("PUB"), d.subject()}
	if r := d.reply(); r != "" {
		words = append(words, r)
	}
	return d.line(append(words, d.size(len(payload)))...) + payload + "\r\n"
}

func (d *drawing) publishWithHeaders() string {
	header := d.header()
	payload := d.payload()
	payload = payload[:max(0, min(len(payload), d.setup.MaxPayload-len(header)))]
	words := []string{d.verb("HPUB"), d.subject()}
	if r := d.reply(); r != "" {
		words = append(words, r)
	}
	words = append(words, d.size(len(header)), d.size(len(header)+len(payload)))
	return d.line(words...) + header + payload + "\r\n"
}

func (d *drawing) header() string {
	const version = "NATS/1.0"
	switch d.weighted(60, 10, 30) {
	case 0:
		return version + "\r\n" + d.one("A: b", "a:b", "A:  b ", "K: 1\r\nK: 2", "X: ") + "\r\n\r\n"
	case 1:
		return version + d.one(" 503", " 404 No", " 100 Idle Heartbeat", " ") + "\r\n\r\n"
	}
	return d.one(version+"\r\n\r\n", "\r\n\r\n", version, "x", version+"\r\nbad\r\n\r\n", version+"\n\n", "NATS/2.0\r\nA: b\r\n\r\n", "nats/1.0\r\n\r\n", version+"\r\nA: b\r\n", version+"\r\n: b\r\n\r\n", "")
}

func (d *drawing) sid(p *peer) string {
	if len(p.sids) > 0 && d.chance(15) {
		return d.one(p.sids...)
	}
	if d.chance(90) {
		return strconv.Itoa(len(p.sids) + 1)
	}
	return d.one("0", "-1", "sid", "é", "00", "1x", strings.Repeat("9", 40), "*", ">", "a.b")
}

func (d *drawing) subscribe(p *peer) string {
	subject := d.filter(p)
	d.heard = append(d.heard, subject)
	sid := d.sid(p)
	p.sids = append(p.sids, sid)
	if !d.chance(20) {
		return d.line(d.verb("SUB"), subject, sid)
	}
	return d.line(d.verb("SUB"), subject, d.queue(), sid)
}

// queue draws the name of a group. Every group has one member: whom of several a
// server chooses is its own affair.
func (d *drawing) queue() string {
	d.queues++
	if d.queues <= len(d.setup.Queues) && d.chance(70) {
		return d.setup.Queues[d.queues-1]
	}
	if d.chance(5) {
		return d.one("_sys_", "*", ">", "é", "g.*", "g..x") + strconv.Itoa(d.queues)
	}
	return d.one("g", "w.", "G.x") + strconv.Itoa(d.queues)
}

// filter draws what to subscribe to: nothing that is wider than what is allowed,
// for we refuse that and nats-server does not.
func (d *drawing) filter(p *peer) string {
	for {
		var f string
		switch d.weighted(55, 20, 18, 4, 3) {
		case 0:
			f = d.one(d.setup.Filters...)
		case 1:
			f = d.filled(d.one(d.setup.Filters...))
		case 2:
			f = d.one(plain()...)
		case 3:
			f = d.one("$SYS.>", "$SYS.x", "_INBOX.*", "_R_.>", "_GR_.>", "$JS.>", "$G.>", "*.*", "*.*.*", "_INBOX.>")
		default:
			f = d.oddSubject()
		}
		if p.user == nil || !wider(f, p.user.Allowed) {
			return f
		}
	}
}

// wider tells whether a filter ends in everything where what is allowed ends in
// one token.
func wider(filter string, allowed []string) bool {
	for _, a := range allowed {
		subject, _, _ := strings.Cut(a, " ")
		have, want := strings.Split(subject, "."), strings.Split(filter, ".")
		if len(have) == len(want) && have[len(have)-1] == "*" && want[len(want)-1] == ">" {
			return true
		}
	}
	return false
}

func (d *drawing) unsubscribe(p *peer) string {
	sid := d.one("1", "2", "3", "x")
	if len(p.sids) > 0 && d.chance(90) {
		sid = d.one(p.sids...)
	}
	// What comes from other accounts counts with us only.
	if p.user != nil && p.user.Foreign || d.chance(40) {
		return d.line(d.verb("UNSUB"), sid)
	}
	limit := strconv.Itoa(d.between(1, 3))
	if d.chance(10) {
		limit = d.one("0", "01", "999999999", "-1", "x", "+1", "9999999999", "1.5")
	}
	return d.line(d.verb("UNSUB"), sid, limit)
}

// answer publishes where the last message that came asks to.
func (d *drawing) answer(p *peer) {
	payload := d.payload()
	data := fmt.Sprintf("PUB {{reply %s}} %d\r\n%s\r\n", p.name, len(payload), payload)
	d.say(p, data)
}
