package random

import (
	"strconv"
	"strings"
)

// wrong draws a line that is not as it should be.
func (d *drawing) wrong() string {
	beyond := strconv.Itoa(d.setup.MaxPayload + 1)
	switch d.below(10) {
	case 0:
		return d.one("PUB\r\n", "PUB a\r\n", "PUB a b c 1\r\nx\r\n", "PUB a -1\r\n", "PUB a x\r\n", "PUB a 1.0\r\nx\r\n", "PUB a +1\r\nx\r\n", "PUB a 0x1\r\nx\r\n", "PUB a 1000000000\r\n", "PUB  1\r\nx\r\n")
	case 1:
		return "PUB a " + d.one(beyond, "999999999", "0"+beyond) + "\r\n" + strings.Repeat("y", d.below(20))
	case 2:
		return d.one("PUB a 2\r\nx\r\n", "PUB a 1\r\nxx\r\n", "PUB a 1\r\nx\n", "PUB a 1\r\nx\r\r\n", "PUB a 0\r\nx\r\n", "PUB a 3\r\nx\r\n", "PUB a 0\r\n\n")
	case 3:
		return d.one("HPUB a 1\r\n", "HPUB a 12\r\n", "HPUB a 12 11\r\n", "HPUB a -1 5\r\n", "HPUB a x 5\r\n", "HPUB a 1 x\r\n", "HPUB a b c 1 2\r\n", "HPUB a 0 1\r\nx\r\n", "HPUB\r\n", "HPUB a 12 "+beyond+"\r\n", "HPUB a "+beyond+" 5\r\n")
	case 4:
		return d.one("SUB\r\n", "SUB a\r\n", "SUB a b c d\r\n", "SUB  \r\n", "SUB\n", "SUB a\n", "SUBa 1\r\n", "SUB\r1\r\n")
	case 5:
		return d.one("UNSUB\r\n", "UNSUB 1 2 3\r\n", "UNSUB 1 x\r\n", "UNSUB \r\n", "UNSUB\n", "UNSUB 1 -5\r\n")
	case 6:
		return d.one("-ERR\r\n", "-ERR 'x'\r\n", "-err x\n", "-ERR 'Authorization Violation'\r\n", "-ERR \r\n", "+OKAY\r\n", "+NO\r\n", "INFO\r\n", "INFO {\r\n", "INFO{}\r\n", "INFO x\r\n")
	case 7:
		return d.one("RS+ $G a\r\n", "LS+ a\r\n", "A+ $G\r\n", "MSG a 1 1\r\nx\r\n", "HMSG a 1 1 1\r\nx\r\n", "RMSG $G a 1\r\nx\r\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02", "\x10\x0c\x00\x04MQTT", "CONNECTX {}\r\n", "QUIT\r\n", "\x00", "\n", "\r\n", " PING\r\n", "\tPING\r\n")
	case 8:
		return d.verb(d.one("SUB", "PUB", "UNSUB", "HPUB", "CONNECT", "-ERR", "INFO")) + " " + strings.Repeat(d.one("w", "w.", "w "), d.between(150, 2500))
	}
	return d.damaged(d.wrong())
}

// damaged changes a byte or two.
func (d *drawing) damaged(text string) string {
	b := []byte(text)
	for range d.between(1, 2) {
		if len(b) == 0 {
			break
		}
		at := d.below(len(b))
		with := "\r\n\t \x00\x80>*.+-9aZ{}\""
		c := with[d.below(len(with))]
		switch d.below(4) {
		case 0:
			b = append(b[:at], b[at+1:]...)
		case 1:
			b[at] = c
		case 2:
			b = append(b[:at], append([]byte{c}, b[at:]...)...)
		default:
			b = b[:at]
		}
	}
	// No placeholders: nothing here is meant as one.
	return strings.ReplaceAll(string(b), "{{", "{")
}
