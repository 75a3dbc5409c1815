package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

const (
	// lineMax bounds one control line from a server; INFO with many URLs is
	// the longest in practice.
	lineMax = 1 << 20
	// payloadShown is how much of a payload a transcript quotes; a longer one
	// is shown by length and hash.
	payloadShown = 256
)

var (
	errIncomplete = errors.New("incomplete frame")
	errMalformed  = errors.New("malformed frame")
)

// frame is one thing the server said: a control line and, for messages, what
// follows it.
type frame struct {
	line    string
	header  []byte // only for HMSG
	payload []byte // only for MSG and HMSG
	message bool
}

// parseFrame reads one frame from the front of buf and returns its length. A
// frame that has not fully arrived is errIncomplete. A server must end each
// line in CR LF; anything else is shown as it is.
func parseFrame(buf []byte) (frame, int, error) {
	end := bytes.IndexByte(buf, '\n')
	if end < 0 {
		if len(buf) > lineMax {
			return frame{}, 0, errMalformed
		}
		return frame{}, 0, errIncomplete
	}
	f := frame{line: string(bytes.TrimSuffix(buf[:end], []byte("\r")))}
	if end == 0 || buf[end-1] != '\r' {
		f.line += " <no CR>"
	}
	sizes, err := f.sizes()
	if err != nil || sizes == nil {
		return f, end + 1, err
	}
	return f.withPayload(buf, end+1, sizes)
}

// sizes returns [header size, total size] of a message frame, nil for others.
func (f *frame) sizes() ([]int, error) {
	words := strings.Fields(f.line)
	if len(words) == 0 {
		return nil, nil
	}
	count := map[string]int{"MSG": 1, "HMSG": 2}[words[0]]
	if count == 0 {
		return nil, nil
	}
	if len(words) < 3+count {
		return nil, errMalformed
	}
	sizes := make([]int, 0, 2)
	if count == 1 {
		sizes = append(sizes, 0)
	}
	for _, w := range words[len(words)-count:] {
		n, err := strconv.Atoi(w)
		if err != nil || n < 0 {
			return nil, errMalformed
		}
		sizes = append(sizes, n)
	}
	if sizes[0] > sizes[1] {
		return nil, errMalformed
	}
	return sizes, nil
}

func (f *frame) withPayload(buf []byte, start int, sizes []int) (frame, int, error) {
	end := start + sizes[1]
	if len(buf) < end+2 {
		return frame{}, 0, errIncomplete
	}
	if string(buf[end:end+2]) != "\r\n" {
		return frame{}, 0, errMalformed
	}
	f.message = true
	f.header = bytes.Clone(buf[start : start+sizes[0]])
	f.payload = bytes.Clone(buf[start+sizes[0] : end])
	return *f, end + 2, nil
}

// String shows the frame on one line.
func (f *frame) String() string {
	if !f.message {
		return f.line
	}
	var b strings.Builder
	b.WriteString(f.line)
	if len(f.header) > 0 {
		b.WriteString(" " + shown(f.header))
	}
	b.WriteString(" " + shown(f.payload))
	return b.String()
}

// shown quotes bytes, or names them by length and hash when they are many.
func shown(data []byte) string {
	if len(data) <= payloadShown {
		return strconv.Quote(string(data))
	}
	h := fnv.New64a()
	_, _ = h.Write(data)
	return fmt.Sprintf("(%d bytes, fnv %x)", len(data), h.Sum64())
}
