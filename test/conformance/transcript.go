package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Transcript is what the connections of a script received, masked, one line
// per frame, connections in order of their names.
type Transcript struct {
	Lines []string
	// Surprises names the connections that the server closed although no step
	// expects it. A judge that surprises means a script that does not test what
	// it says.
	Surprises []string
	// Sent counts the bytes the script sent.
	Sent int
	// Log is the server's own log, for the reader of a failure.
	Log string
}

// String returns the transcript as text.
func (t *Transcript) String() string { return strings.Join(t.Lines, "\n") }

// closedByServer marks a connection that the server ended.
const closedByServer = "<closed by server>"

func (p *player) transcript() *Transcript {
	t := &Transcript{Sent: p.sent}
	for _, name := range p.names() {
		if p.clients[name].lost() && !p.script.expects(name) {
			t.Surprises = append(t.Surprises, name)
		}
		if slices.Contains(p.script.Hidden, name) {
			continue
		}
		for _, line := range p.clients[name].lines(p.script) {
			t.Lines = append(t.Lines, name+" "+p.world.mask(line))
		}
	}
	t.Lines = append(t.Lines, p.tallies...)
	return t
}

// lost reports whether the server ended the connection.
func (c *client) lost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone && !c.closed
}

// expects reports whether a step waits for the server to close the connection.
func (s *Script) expects(conn string) bool {
	return slices.ContainsFunc(s.Steps, func(st Step) bool { return st.Conn == conn && st.Verb == VerbGone })
}

// lines shows what the connection received. The server's own PINGs depend on
// the clock and are left out unless the script is about them.
func (c *client) lines(s *Script) []string {
	pings := s.tagged(TagPings)
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, f := range inStableOrder(c.frames, s.tagged(TagLoose)) {
		if f.line == "PING" && !pings {
			continue
		}
		if s.tagged(TagLoose) {
			if f.event() {
				continue
			}
			f = f.anySubscription()
		}
		line := maskShared(f).String()
		if !f.message {
			line = maskInfo(line)
		}
		if s.tagged(TagLoose) && line == invalidPublish && len(out) > 0 && out[len(out)-1] == line {
			continue
		}
		out = append(out, line)
	}
	if len(c.rest) > 0 {
		out = append(out, fmt.Sprintf("<partial %q>", c.rest))
	}
	if c.gone && !c.closed {
		out = append(out, closedByServer)
	}
	return out
}

// invalidPublish is what stock nats-server says once more when it reads the
// message in two parts.
const invalidPublish = "-ERR 'Invalid Publish Subject'"

// inStableOrder returns the frames with those of one publish sorted: in which
// order a server serves several subscriptions of one connection is its choice,
// and stock nats-server changes it from run to run. Loose takes all with one
// payload as one publish, under whichever subject they arrive.
func inStableOrder(frames []frame, loose bool) []*frame {
	out := make([]*frame, len(frames))
	for i := range frames {
		out[i] = &frames[i]
	}
	for start := 0; start < len(out); {
		end := start + 1
		for end < len(out) && out[start].sameMessage(out[end], loose) {
			end++
		}
		slices.SortStableFunc(out[start:end], func(a, b *frame) int { return strings.Compare(a.line, b.line) })
		start = end
	}
	return out
}

// sameMessage reports whether both frames can be deliveries of one publish.
func (f *frame) sameMessage(g *frame, loose bool) bool {
	return f.message && g.message && bytes.Equal(f.payload, g.payload) &&
		(loose || f.subject() == g.subject() && bytes.Equal(f.header, g.header))
}

// event reports whether the server published the message by itself, at a time of
// its own.
func (f *frame) event() bool { return f.message && strings.HasPrefix(f.subject(), "$SYS.ACCOUNT.") }

// anySubscription hides to which of several subscriptions it was said that
// nobody answers: it is to one, no matter which.
func (f *frame) anySubscription() *frame {
	words := strings.Fields(f.line)
	if !f.message || len(f.payload) > 0 || words[0] != "HMSG" || !bytes.HasPrefix(f.header, []byte("NATS/1.0 503\r\nNats-Subject: ")) {
		return f
	}
	out := *f
	words[2] = "<sid>"
	out.line = strings.Join(words, " ")
	return &out
}

func (f *frame) subject() string { return strings.Fields(f.line)[1] }

// tally counts the frames with a prefix over several connections, for answers
// that a server spreads as it likes: `tally b c d MSG foo` adds how many came
// in all, and whether every connection got some.
func (p *player) tally(text string) error {
	words := strings.Fields(text)
	var names []string
	for len(words) > 0 && p.clients[words[0]] != nil {
		names, words = append(names, words[0]), words[1:]
	}
	prefix := strings.Join(words, " ")
	if len(names) == 0 || prefix == "" {
		return fmt.Errorf("tally wants connections and a prefix")
	}
	total, each := 0, true
	for _, n := range names {
		got := p.clients[n].count(prefix)
		total += got
		each = each && got > 0
	}
	p.tallies = append(p.tallies, fmt.Sprintf("tally %s: total %d, every connection some: %v", text, total, each))
	return nil
}

func (c *client) count(prefix string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for i := range c.frames {
		if strings.HasPrefix(c.frames[i].line, prefix) {
			n++
		}
	}
	return n
}

// Diff compares what two servers answered, line by line: "- " lines only the
// judge said, "+ " lines only the subject said. No line means no difference.
func Diff(judge, subject *Transcript) []string {
	return diffLines(judge.Lines, subject.Lines)
}

// diffLines is the longest-common-subsequence difference of two short texts.
func diffLines(a, b []string) []string {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return out
}
