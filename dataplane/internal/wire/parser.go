package wire

import "bytes"

// Op is one operation. Its slices point into the buffer that was parsed and are
// valid until that buffer changes.
type Op struct {
	Kind    Kind
	Arg     []byte // CONNECT, SUB, UNSUB, -ERR, INFO: the line after the verb
	Subject []byte // PUB, HPUB
	Reply   []byte // PUB, HPUB; nil if there is none
	// HeaderLen is the length of the header block; -1 for PUB.
	HeaderLen int
	// Size is the length of headers and payload together.
	Size int
	// In how many digits the line said so, if the first were zeroes: subscribers
	// are told in as many. Zero for as many as it takes.
	HeaderDigits, SizeDigits uint8
	// Body is headers and payload with the CRLF behind them.
	Body []byte
	// Tail is everything from the reply (or the first size) to the end of Body,
	// ready to stand behind `MSG subject sid ` as it is. Nil when the client
	// spaced its line in another way than single blanks; see AppendTail.
	Tail []byte
}

// Parser turns a byte stream into operations. The caller owns the buffer: it
// calls Next with all bytes not yet consumed, drops what Next consumed, and
// reads more when Next consumed nothing.
//
// The limits may be changed between calls.
type Parser struct {
	MaxControlLine int // bytes of arguments in a line
	MaxPayload     int // bytes of headers and payload; negative for no limit
	// NoHeaders refuses HPUB, once its line is there.
	NoHeaders bool

	// Op is the operation that the last Next completed.
	Op Op
	// Need is how many bytes Next wants to see, at least, when it consumed
	// nothing; 0 when that is not known.
	Need int

	skip    Kind    // not None while the rest of an ignored line is outstanding
	scanned int     // how much of an incomplete line is known to hold no LF
	last    pubLine // that quick took; empty if it was another kind of operation
}

// Next parses one operation from the front of buf. It returns how many bytes
// that took. Op.Kind is None when there was no complete operation: the bytes
// consumed, if any, are to be dropped all the same.
func (p *Parser) Next(buf []byte) (int, error) {
	p.Op.Kind = None
	p.Need = 0
	p.last.bytes = nil
	if p.skip != None {
		return p.skipLine(buf, 0)
	}
	if len(buf) == 0 {
		return 0, nil
	}
	if n := p.quick(buf); n > 0 {
		return n, nil
	}
	switch buf[0] {
	case 'P', 'p':
		return p.nextP(buf)
	case 'H', 'h':
		if v := verb(buf, "HPUB"); v != full {
			return 0, v.err()
		}
		return p.publish(buf, 4, HPub)
	case 'S', 's':
		return p.line(buf, "SUB", Sub)
	case 'U', 'u':
		return p.line(buf, "UNSUB", Unsub)
	case 'C', 'c':
		return p.glued(buf, "CONNECT", Connect)
	case 'I', 'i':
		return p.glued(buf, "INFO", Info)
	case '-':
		return p.line(buf, "-ERR", Err)
	case '+':
		return p.ignored(buf, "+OK", OK)
	}
	return 0, ErrUnknownOperation
}

func (p *Parser) nextP(buf []byte) (int, error) {
	if len(buf) > 1 {
		switch buf[1] {
		case 'I', 'i':
			return p.ignored(buf, "PING", Ping)
		case 'O', 'o':
			return p.ignored(buf, "PONG", Pong)
		}
	}
	if v := verb(buf, "PUB"); v != full {
		return 0, v.err()
	}
	return p.publish(buf, 3, Pub)
}

// match is how a buffer compares with a verb.
type match uint8

const (
	full    match = iota // the whole verb is there
	partial              // what is there fits, more is needed
	other                // it is another verb
)

func (m match) err() error {
	if m == other {
		return ErrUnknownOperation
	}
	return nil
}

// verb compares the front of buf with an upper-case verb.
func verb(buf []byte, name string) match {
	for i := range len(name) {
		if i == len(buf) {
			return partial
		}
		b := buf[i]
		if 'a' <= b && b <= 'z' {
			b -= 'a' - 'A'
		}
		if b != name[i] {
			return other
		}
	}
	return full
}

// ignored parses a verb whose arguments mean nothing.
func (p *Parser) ignored(buf []byte, name string, kind Kind) (int, error) {
	if v := verb(buf, name); v != full {
		return 0, v.err()
	}
	p.skip = kind
	return p.skipLine(buf, len(name))
}

func (p *Parser) skipLine(buf []byte, from int) (int, error) {
	lf := bytes.IndexByte(buf[from:], '\n')
	if lf < 0 {
		return len(buf), nil
	}
	p.Op.Kind, p.skip = p.skip, None
	return from + lf + 1, nil
}

// line parses a verb with arguments and no payload.
func (p *Parser) line(buf []byte, name string, kind Kind) (int, error) {
	if v := verb(buf, name); v != full {
		return 0, v.err()
	}
	start, lf, err := p.argument(buf, len(name))
	if lf < 0 || err != nil {
		return 0, err
	}
	p.Op.Kind = kind
	p.Op.Arg = trimCR(buf[start:lf])
	return lf + 1, nil
}

// glued parses a verb whose argument may follow without a blank between.
func (p *Parser) glued(buf []byte, name string, kind Kind) (int, error) {
	if v := verb(buf, name); v == full && len(buf) > len(name) {
		if b := buf[len(name)]; b != ' ' && b != '\t' {
			return p.rest(buf, len(name), kind)
		}
	}
	return p.line(buf, name, kind)
}

// rest parses the argument that begins at start.
func (p *Parser) rest(buf []byte, start int, kind Kind) (int, error) {
	lf, err := p.lineEnd(buf, start)
	if lf < 0 || err != nil {
		return 0, err
	}
	p.Op.Kind = kind
	p.Op.Arg = trimCR(buf[start:lf])
	return lf + 1, nil
}

// argument finds the argument of a line whose verb has verbLen bytes: where it
// starts and where its LF is. The LF is -1 while the line is incomplete.
func (p *Parser) argument(buf []byte, verbLen int) (start, lf int, err error) {
	start = verbLen
	for start < len(buf) && (buf[start] == ' ' || buf[start] == '\t') {
		start++
	}
	switch {
	case start-verbLen > p.MaxControlLine:
		// Blanks are skipped without a bound by nats-server, which keeps none of
		// them; we hold them, so there may be no more of them than of a line.
		return 0, -1, ErrMaxControlLine
	case start == len(buf):
		return 0, -1, nil
	case start == verbLen:
		return 0, -1, ErrUnknownOperation
	}
	lf, err = p.lineEnd(buf, start)
	return start, lf, err
}

// lineEnd returns where the LF of a line is whose argument begins at start; -1
// while it is incomplete. The first byte belongs to the argument whatever it
// is, even an LF.
func (p *Parser) lineEnd(buf []byte, start int) (int, error) {
	from := max(start+1, p.scanned)
	if from > len(buf) {
		return -1, nil
	}
	i := bytes.IndexByte(buf[from:], '\n')
	if i < 0 {
		p.scanned = len(buf)
		if len(buf)-start > p.MaxControlLine && len(trimCR(buf[start:])) > p.MaxControlLine {
			return -1, ErrMaxControlLine
		}
		return -1, nil
	}
	p.scanned = 0
	lf := from + i
	if len(trimCR(buf[start:lf])) > p.MaxControlLine {
		return -1, ErrMaxControlLine
	}
	return lf, nil
}

// trimCR drops the CR before the LF. As in nats-server, a CR anywhere in the
// argument drops its last byte.
func trimCR(arg []byte) []byte {
	if n := len(arg); n > 1 && (arg[n-1] == '\r' || bytes.IndexByte(arg[1:], '\r') >= 0) {
		return arg[:n-1]
	}
	return arg
}

// publish parses PUB and HPUB with their payload.
func (p *Parser) publish(buf []byte, verbLen int, kind Kind) (int, error) {
	start, lf, err := p.argument(buf, verbLen)
	if lf < 0 || err != nil {
		return 0, err
	}
	if kind == HPub && p.NoHeaders {
		return 0, ErrNoHeaders
	}
	var f fields
	f.split(buf, start, start+len(trimCR(buf[start:lf])))
	if err := p.arguments(buf, &f, kind); err != nil {
		return 0, err
	}
	body := lf + 1
	end := body + p.Op.Size + 2
	if err := closed(buf, body+p.Op.Size); err != nil {
		return 0, err
	}
	if len(buf) < end {
		p.Need = end
		return 0, nil
	}
	p.Op.Kind = kind
	p.Op.Body = buf[body:end]
	p.Op.Tail = nil
	if f.canonical(buf, lf) {
		p.Op.Tail = buf[f.start[1]:end]
	}
	return end, nil
}

// closed checks as much of the CRLF at buf[at:] as is there.
func closed(buf []byte, at int) error {
	if len(buf) > at && buf[at] != '\r' || len(buf) > at+1 && buf[at+1] != '\n' {
		return ErrUnended
	}
	return nil
}

func (p *Parser) arguments(buf []byte, f *fields, kind Kind) error {
	sizes := 1
	if kind == HPub {
		sizes = 2
	}
	if f.n != 1+sizes && f.n != 2+sizes {
		return ErrArguments
	}
	p.Op.Subject = f.bytes(buf, 0)
	if p.Op.Subject[0] == '\n' {
		return ErrArguments // subscribers would be sent the end of a line
	}
	p.Op.Reply = nil
	if f.n == 2+sizes {
		p.Op.Reply = f.bytes(buf, 1)
	}
	p.Op.HeaderLen, p.Op.HeaderDigits, p.Op.SizeDigits = -1, 0, f.digits(buf, f.n-1)
	if kind == HPub {
		p.Op.HeaderDigits = f.digits(buf, f.n-2)
		p.Op.HeaderLen = parseSize(f.bytes(buf, f.n-2))
		if p.Op.HeaderLen < 0 {
			return ErrArguments
		}
	}
	p.Op.Size = parseSize(f.bytes(buf, f.n-1))
	if p.Op.Size < 0 || p.Op.HeaderLen > p.Op.Size {
		return ErrArguments
	}
	if p.MaxPayload >= 0 && p.Op.Size > p.MaxPayload {
		return ErrMaxPayload
	}
	return nil
}

// Resize gives the operation another header block and body, of which the lengths
// are known: no more than their numbers are of what the line said.
func (o *Op) Resize(headerLen int, body []byte) {
	o.HeaderLen, o.Size, o.Body = headerLen, len(body)-len(CRLF), body
	o.HeaderDigits, o.SizeDigits, o.Tail = 0, 0, nil
}

// AppendTail appends what Tail would be, for operations that have none.
func (o *Op) AppendTail(dst []byte) []byte {
	if o.Reply != nil {
		dst = append(append(dst, o.Reply...), ' ')
	}
	if o.HeaderLen >= 0 {
		dst = append(appendDigits(dst, o.HeaderLen, o.HeaderDigits), ' ')
	}
	dst = append(appendDigits(dst, o.Size, o.SizeDigits), '\r', '\n')
	return append(dst, o.Body...)
}
