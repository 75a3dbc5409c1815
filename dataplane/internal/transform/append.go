package transform

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"unicode/utf8"

	"github.com/coveymq/covey/dataplane/internal/subject"
)

// Append appends what a subject is rewritten to. The subject must be one that
// the source matches, or covers. It allocates only while dst grows.
func (t *Transform) Append(dst, s []byte) []byte {
	if t.same {
		return append(dst, s...)
	}
	for i := range t.steps {
		st := &t.steps[i]
		if i == len(t.steps)-1 && t.rest {
			return append(dst, behind(s, t.tokens-1)...)
		}
		dst = st.append(dst, s)
		if i < len(t.steps)-1 {
			dst = append(dst, '.')
		}
	}
	return dst
}

// String rewrites a subject.
func (t *Transform) String(s string) string { return string(t.Append(nil, []byte(s))) }

// behind returns s without its first n tokens.
func behind(s []byte, n int) []byte {
	for ; n > 0; n-- {
		_, tail, more := subject.Next(s)
		if !more {
			return nil
		}
		s = tail
	}
	return s
}

// token returns the n-th token of s; nothing if there are fewer.
func token(s []byte, n int) []byte {
	first, _, _ := subject.Next(behind(s, n))
	return first
}

func (st *step) append(dst, s []byte) []byte {
	switch st.kind {
	case literal:
		return append(dst, st.text...)
	case partition:
		return st.appendPartition(dst, s)
	case random:
		if st.number == 0 {
			return append(dst, '0')
		}
		return strconv.AppendInt(dst, int64(rand.Int32()%st.number), 10) //nolint:gosec // a spread, not a secret
	case wildcard:
		return append(dst, token(s, st.tokens[0])...)
	case split:
		return st.appendSplit(dst, token(s, st.tokens[0]))
	default:
		return st.appendCut(dst, token(s, st.tokens[0]))
	}
}

// appendPartition appends the number of a partition: FNV-1a, 32 bits, of the
// chosen tokens without dots, or of the whole subject.
func (st *step) appendPartition(dst, s []byte) []byte {
	if st.number == 0 {
		return append(dst, '0')
	}
	h := uint32(2166136261)
	add := func(p []byte) {
		for _, c := range p {
			h = (h ^ uint32(c)) * 16777619
		}
	}
	for _, n := range st.tokens {
		add(token(s, n))
	}
	if len(st.tokens) == 0 {
		add(s)
	}
	return strconv.AppendUint(dst, uint64(h%uint32(st.number)), 10) //nolint:gosec // less than none is very many, as in nats-server
}

// appendCut appends a token, or parts of it, cut at a place or in pieces.
func (st *step) appendCut(dst, t []byte) []byte {
	n := int(st.number)
	if n <= 0 || n >= len(t) {
		return append(dst, t...) // too short to cut
	}
	switch st.kind {
	case left:
		return append(dst, t[:n]...)
	case right:
		return append(dst, t[len(t)-n:]...)
	case splitFromLeft:
		return appendTwo(dst, t, n)
	case splitFromRight:
		return appendTwo(dst, t, len(t)-n)
	default: // in pieces
	}
	first := n
	if rest := len(t) % n; st.kind == sliceFromRight && rest > 0 {
		first = rest
	}
	dst = append(dst, t[:first]...)
	for t = t[first:]; len(t) > 0; t = t[min(n, len(t)):] {
		dst = append(append(dst, '.'), t[:min(n, len(t))]...)
	}
	return dst
}

func appendTwo(dst, t []byte, at int) []byte {
	return append(append(append(dst, t[:at]...), '.'), t[at:]...)
}

// appendSplit appends a token with dots where its parts are divided. No dot
// stands before an empty part, nor behind an empty first one.
func (st *step) appendSplit(dst, t []byte) []byte {
	for i := 0; ; i++ {
		part, tail, more := cutPart(t, st.text)
		dst = append(dst, part...)
		if !more {
			return dst
		}
		next, _, _ := cutPart(tail, st.text)
		if len(next) > 0 && (i > 0 || len(part) > 0) {
			dst = append(dst, '.')
		}
		t = tail
	}
}

// cutPart returns what is before the first separator, and what is behind it. An
// empty separator stands between any two characters.
func cutPart(t []byte, sep string) (part, tail []byte, more bool) {
	if sep == "" {
		_, n := utf8.DecodeRune(t)
		return t[:n], t[n:], n < len(t)
	}
	i := bytes.Index(t, []byte(sep))
	if i < 0 {
		return t, nil, false
	}
	return t[:i], t[i+len(sep):], true
}
