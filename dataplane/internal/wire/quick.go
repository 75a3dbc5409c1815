package wire

import "bytes"

// quick parses a PUB as clients write it: upper case, one blank between the
// parts, CRLF behind them, and all of it there. It returns how many bytes it
// took; 0 says that this is another kind of line, of which nothing is known yet
// and nothing was noted.
func (p *Parser) quick(buf []byte) int {
	const verbLen = len("PUB ")
	if p.scanned != 0 || len(buf) < verbLen || string(buf[:verbLen]) != "PUB " {
		return 0
	}
	subject := word(buf, verbLen)
	if subject < 0 {
		return 0
	}
	from := subject + 1 // of what goes on to subscribers as it is
	size, at := number(buf, from)
	var reply []byte
	if size < 0 {
		end := word(buf, from)
		if end < 0 {
			return 0
		}
		reply = buf[from:end:end]
		size, at = number(buf, end+1)
	}
	body := at + len(CRLF)
	end := body + size + len(CRLF)
	if size < 0 || at-verbLen > p.MaxControlLine || p.MaxPayload >= 0 && size > p.MaxPayload ||
		len(buf) < end || buf[end-2] != '\r' || buf[end-1] != '\n' {
		return 0
	}
	p.Op = Op{
		Kind: Pub, Subject: buf[verbLen:subject:subject], Reply: reply, HeaderLen: -1, Size: size,
		Body: buf[body:end:end], Tail: buf[from:end:end],
	}
	p.last = pubLine{bytes: buf[:body:body], subject: subject, from: from}
	return end
}

// pubLine is the control line of a PUB.
type pubLine struct {
	bytes   []byte // with the CRLF
	subject int    // where the subject ends
	from    int    // where what goes on to subscribers as it is begins
}

// Again parses one operation from the front of buf if it is a PUB whose line is
// that of the operation before, to the byte: publishers often send many messages
// to one subject. It returns how many bytes that took; 0 says that Next has to
// look. The bytes that were given to the call before must be there still.
func (p *Parser) Again(buf []byte) int {
	l := &p.last
	body := len(l.bytes)
	if body == 0 || len(buf) < body || !bytes.Equal(buf[:body], l.bytes) {
		return 0
	}
	end := body + p.Op.Size + len(CRLF)
	if len(buf) < end || buf[end-2] != '\r' || buf[end-1] != '\n' {
		return 0
	}
	p.Op.Subject = buf[len("PUB "):l.subject:l.subject]
	p.Op.Body, p.Op.Tail = buf[body:end:end], buf[l.from:end:end]
	return end
}

// word returns where the word that begins at from ends with a blank; -1 if it
// does not, or is none.
func word(buf []byte, from int) int {
	for i := from; i < len(buf); i++ {
		if buf[i] > ' ' {
			continue
		}
		if buf[i] != ' ' || i == from {
			return -1
		}
		return i
	}
	return -1
}

// number reads the decimal number that begins at from and ends a line, unless it
// has zeroes before it. It returns the number and where the CR is; -1 if there is
// none.
func number(buf []byte, from int) (n, at int) {
	i := from
	for ; i < len(buf); i++ {
		d := buf[i] - '0'
		if d > 9 {
			break
		}
		n = n*10 + int(d)
	}
	if i == from || i-from > maxSizeDigits || buf[from] == '0' && i > from+1 || i+1 >= len(buf) || buf[i] != '\r' || buf[i+1] != '\n' {
		return -1, 0
	}
	return n, i
}
