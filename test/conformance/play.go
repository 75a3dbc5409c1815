package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coveymq/covey/test/conformance/proc"
)

// Cut says how the bytes a script sends are cut into writes.
type Cut struct {
	// EveryByte writes byte by byte, or in byteCuts pieces when there are more.
	EveryByte bool
	// At, if above zero, cuts once, after that many bytes sent by the script.
	At int
}

const (
	// byteCuts bounds the writes that one step is cut into.
	byteCuts = 400
	// cutPause gives the server time to read one piece before the next is
	// written. It makes a split likely; no verdict depends on it.
	cutPause = 150 * time.Microsecond
)

// Target is a broker under test.
type Target struct {
	// Path is its binary.
	Path string
	// Dir is a scratch directory for configuration files.
	Dir string
}

// Play runs the script against a fresh process of the target and returns what
// each connection received.
func Play(ctx context.Context, t Target, s *Script, cut Cut) (*Transcript, error) {
	w, err := newWorld(s.Identities, time.Now())
	if err != nil {
		return nil, err
	}
	if slices.Contains(s.Needs, "tls") {
		if err := w.makeTLS(t.Dir); err != nil {
			return nil, err
		}
	}
	config, err := w.config(s)
	if err != nil {
		return nil, err
	}
	server, err := proc.Start(ctx, proc.Options{Path: t.Path, Config: config, Dir: t.Dir})
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	p := &player{script: s, world: w, addr: server.Addr, cut: cut, clients: map[string]*client{}}
	defer p.closeAll()
	if err := p.run(ctx); err != nil {
		return nil, err
	}
	if server.Exited() {
		return nil, fmt.Errorf("the server exited; log:\n%s", server.Log())
	}
	tr := p.transcript()
	tr.Log = server.Log()
	return tr, nil
}

// PlayAt runs the script against a server that is running already, for scripts
// that need no identities of their own. It returns when the server has let go of
// the connections, so that what comes next finds the server as it was.
func PlayAt(ctx context.Context, addr string, s *Script, cut Cut) (*Transcript, error) {
	if len(s.Identities) > 0 || slices.Contains(s.Needs, "tls") {
		return nil, fmt.Errorf("%s needs a server of its own", s.Name)
	}
	p := &player{script: s, world: &world{}, addr: addr, cut: cut, clients: map[string]*client{}}
	defer p.closeAll()
	if err := p.run(ctx); err != nil {
		return nil, err
	}
	tr := p.transcript()
	return tr, p.leave(ctx)
}

// leave hangs up and waits until the server has, too.
func (p *player) leave(ctx context.Context) error {
	for _, name := range p.names() {
		if c := p.clients[name]; !c.closed && !c.hangUp(ctx) {
			return fmt.Errorf("%s: the server does not hang up", name)
		}
	}
	return nil
}

func (w *world) config(s *Script) (string, error) {
	trust, err := w.serverConfig()
	if err != nil {
		return "", err
	}
	own, err := w.expand(s.Config, "")
	return trust + own, err
}

// player plays one script once; it is used by one goroutine.
type player struct {
	script  *Script
	world   *world
	addr    string
	cut     Cut
	sent    int // bytes the script has sent so far
	clients map[string]*client
	tallies []string
}

func (p *player) run(ctx context.Context) error {
	for _, s := range p.script.Steps {
		if err := p.step(ctx, s); err != nil {
			return fmt.Errorf("line %d: %w", s.Line, err)
		}
	}
	return p.settle(ctx)
}

// settle makes sure that all the server had to say has arrived. It asks twice
// because a server may add a line after its first PONG.
func (p *player) settle(ctx context.Context) error {
	for range 2 {
		for _, name := range p.names() {
			c := p.clients[name]
			if !c.closed && !c.sync(ctx) {
				return fmt.Errorf("%s: no PONG at the end", name)
			}
		}
	}
	for _, name := range p.names() {
		if c := p.clients[name]; !c.closed {
			c.catchUp(ctx)
		}
	}
	return nil
}

var errTimeout = errors.New("waited too long")

func (p *player) step(ctx context.Context, s Step) error {
	if s.Verb == VerbTally {
		return p.tally(s.Text)
	}
	if s.Verb == VerbPause {
		return pause(ctx, s.Text)
	}
	if s.Verb == VerbFirst {
		return p.tlsFirst(ctx, s.Conn)
	}
	c, err := p.client(ctx, s.Conn)
	if err != nil {
		return err
	}
	ok := true
	switch s.Verb {
	case VerbSend:
		return p.send(ctx, c, s.Text, s.Times)
	case VerbConnect:
		return p.send(ctx, c, connectText(s.Text), 1)
	case VerbSync:
		ok = c.sync(ctx)
	case VerbWait:
		ok = c.awaitLine(ctx, s.Text)
	case VerbGone:
		ok = c.awaitGone(ctx)
	case VerbClose:
		c.close()
	case VerbTLS:
		return c.upgrade(ctx, p.world.tls)
	case VerbOpen, VerbFirst, VerbTally, VerbPause: // opening is all there is; the others were seen to above
	}
	if !ok {
		return fmt.Errorf("%s %s %s: %w; received:\n%s", s.Conn, s.Verb, s.Text, errTimeout, p.transcript())
	}
	return nil
}

// connectText is the CONNECT of `a connect`: quiet, plus the fields given.
func connectText(fields string) string {
	if fields != "" {
		fields = "," + fields
	}
	return `CONNECT {"verbose":false,"pedantic":false` + fields + `}\r\n`
}

// client returns the named connection, opening it at its first use.
func (p *player) client(ctx context.Context, name string) (*client, error) {
	if c, ok := p.clients[name]; ok {
		return c, nil
	}
	c, err := dial(ctx, name, p.addr)
	if err != nil {
		return nil, err
	}
	p.clients[name] = c
	if !c.awaitFirst(ctx) {
		return nil, fmt.Errorf("%s: nothing from the server after connecting", name)
	}
	return c, nil
}

// tlsFirst opens the connection and speaks TLS at once.
func (p *player) tlsFirst(ctx context.Context, name string) error {
	c, err := dial(ctx, name, p.addr)
	if err != nil {
		return err
	}
	p.clients[name] = c
	if err := c.upgrade(ctx, p.world.tls); err != nil {
		return err
	}
	if !c.awaitFirst(ctx) {
		return fmt.Errorf("%s: nothing from the server after the handshake", name)
	}
	return nil
}

func (p *player) send(ctx context.Context, c *client, template string, times int) error {
	raw, err := unescape(template)
	if err != nil {
		return err
	}
	for name, other := range p.clients {
		raw = bytes.ReplaceAll(raw, []byte("{{reply "+name+"}}"), []byte(other.lastReply()))
	}
	text, err := p.world.expand(string(raw), c.lastInfo())
	if err != nil {
		return err
	}
	data := []byte(strings.Repeat(text, times))
	for i, piece := range p.pieces(data) {
		if i > 0 {
			if err := wait(ctx, cutPause); err != nil {
				return err
			}
		}
		c.write(piece)
	}
	p.sent += len(data)
	return nil
}

// pieces cuts the data of one step as the play demands.
func (p *player) pieces(data []byte) [][]byte {
	if p.cut.EveryByte {
		return slices.Collect(slices.Chunk(data, 1+len(data)/byteCuts))
	}
	at := p.cut.At - p.sent
	if at <= 0 || at >= len(data) {
		return [][]byte{data}
	}
	return [][]byte{data[:at], data[at:]}
}

func pause(ctx context.Context, text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	return wait(ctx, d)
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (p *player) names() []string {
	names := make([]string, 0, len(p.clients))
	for n := range p.clients {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (p *player) closeAll() {
	for _, c := range p.clients {
		c.close()
	}
}
