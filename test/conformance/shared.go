package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// infoHeader tells a service who asks.
const infoHeader = "Nats-Request-Info: "

// answerSubject is where a service answers: random, and no server's business but
// that of who made it.
var answerSubject = regexp.MustCompile(`_R_\.[0-9A-Za-z.]+`)

// lastReply returns the reply subject of the latest message.
func (c *client) lastReply() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.frames) - 1; i >= 0; i-- {
		f := &c.frames[i]
		if words := strings.Fields(f.line); f.message && len(words) == 5+strings.Count(words[0], "H") {
			return words[3]
		}
	}
	return ""
}

// maskShared rewrites a message that came from another account so that two
// servers can be compared: the subject to answer to is named, and of who asks
// what differs by nature is replaced by its type. The sizes count what is left.
func maskShared(f *frame) *frame {
	out := *f
	out.line = answerSubject.ReplaceAllString(f.line, "_R_.<random>")
	before, rest, ok := bytes.Cut(f.header, []byte(infoHeader))
	value, after, whole := bytes.Cut(rest, []byte("\r\n"))
	if !ok || !whole {
		return &out
	}
	text := maskRequestInfo(value)
	out.header = slices.Concat(before, []byte(infoHeader), []byte(text), []byte("\r\n"), after)
	words := strings.Fields(out.line)
	words[len(words)-2] = strconv.Itoa(len(out.header))
	words[len(words)-1] = strconv.Itoa(len(out.header) + len(out.payload))
	out.line = strings.Join(words, " ")
	return &out
}

func maskRequestInfo(value []byte) string {
	var info map[string]any
	if err := json.Unmarshal(value, &info); err != nil {
		return "<not JSON> " + string(value)
	}
	delete(info, "rtt") // 0 is left out, and when it is known depends on the clock
	for _, key := range []string{"start", "id", "server"} {
		if v, ok := info[key]; ok {
			info[key] = fmt.Sprintf("<%T>", v)
		}
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(info)) {
		fmt.Fprintf(&b, "%s=%v ", key, info[key])
	}
	return strings.TrimSpace(b.String())
}
