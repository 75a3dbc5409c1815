package conn

import (
	"bytes"

	"github.com/coveymq/covey/dataplane/internal/wire"
)

const (
	headerVersion = "NATS/1.0"
	headerLine    = headerVersion + wire.CRLF
)

// appendFields appends a header block to which a field is to be added that is to be
// believed: without those of that name, and without the empty line at its end.
//
// Whoever reads headers does so in a way of its own. Some end a line at a bare LF or
// CR, take names in any case, go on in a line that begins with a blank, stop at an
// empty line, or give all of the block up for one line that is none. So whatever is
// not a field by the letter is left out: with it a client could say what it is not to
// say, or keep what we say of it from being read. Where something was, whether the
// block asks for tracing was judged by what it was before, so that it may not ask now.
func appendFields(dst, block []byte, without string) []byte {
	start := len(dst)
	dst, odd := appendProper(dst, block, without, "")
	if odd {
		dst, _ = appendProper(dst[:start], block, without, traceDest)
	}
	return dst
}

// appendProper appends what is proper of a header block, without the fields of two
// names, and reports whether anything was not.
func appendProper(dst, block []byte, without, nor string) (out []byte, odd bool) {
	line, rest, whole := headerCut(block)
	status, ok := bytes.CutPrefix(line, []byte(headerVersion))
	if odd = !whole || !ok || len(status) > 0 && status[0] != ' '; odd {
		line = []byte(headerVersion)
	}
	dst = append(append(dst, line...), wire.CRLF...)
	for len(rest) > 0 {
		line, rest, whole = headerCut(rest)
		name, _, ok := bytes.Cut(line, []byte{':'})
		ok = ok && fieldName(name)
		odd = odd || !whole || !ok && len(line)+len(rest) > 0
		if ok && !bytes.EqualFold(name, []byte(without)) && string(name) != nor {
			dst = append(append(dst, line...), wire.CRLF...)
		}
	}
	return dst, odd
}

// headerCut returns the first line of a header block, however it ends, the rest, and
// whether the line ends as it should.
func headerCut(block []byte) (line, rest []byte, whole bool) {
	i := bytes.IndexAny(block, wire.CRLF)
	if i < 0 {
		return block, nil, false
	}
	line, rest = block[:i], block[i+1:]
	if whole = block[i] == '\r' && len(rest) > 0 && rest[0] == '\n'; whole {
		rest = rest[1:]
	}
	return line, rest, whole
}

// fieldName reports whether a field may have that name: of visible ASCII.
func fieldName(name []byte) bool {
	for _, b := range name {
		if b <= ' ' || b >= 0x7f {
			return false
		}
	}
	return len(name) > 0
}
