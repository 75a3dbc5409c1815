package wire

import "strconv"

// maxFields is one more than any operation has, so that too many are noticed.
const maxFields = 5

// fields are the blank-separated parts of an argument, as offsets.
type fields struct {
	n          int
	start, end [maxFields]int
}

// blank reports whether b separates the fields of PUB and HPUB.
func blank(b byte) bool { return b == ' ' || b == '\t' }

// split fills f from buf[from:to]. Fields beyond maxFields are not kept.
func (f *fields) split(buf []byte, from, to int) {
	i := from
	for i < to && f.n < maxFields {
		for i < to && blank(buf[i]) {
			i++
		}
		if i == to {
			return
		}
		f.start[f.n] = i
		for i < to && !blank(buf[i]) {
			i++
		}
		f.end[f.n] = i
		f.n++
	}
}

func (f *fields) bytes(buf []byte, i int) []byte { return buf[f.start[i]:f.end[i]] }

// digits returns how long a field is that holds a size and begins with zero;
// else zero.
func (f *fields) digits(buf []byte, i int) uint8 {
	n := f.end[i] - f.start[i]
	if n == 1 || buf[f.start[i]] != '0' {
		return 0
	}
	return uint8(min(n, maxSizeDigits)) //nolint:gosec // at most nine
}

// canonical reports whether the fields after the subject are separated by one
// blank each and end in CRLF at lf, so that they may be sent on as they are.
func (f *fields) canonical(buf []byte, lf int) bool {
	for i := 1; i < f.n-1; i++ {
		if f.end[i]+1 != f.start[i+1] || buf[f.end[i]] != ' ' {
			return false
		}
	}
	return f.end[f.n-1] == lf-1 && buf[lf-1] == '\r'
}

// maxSizeDigits bounds a size, as in nats-server: 999,999,999 bytes.
const maxSizeDigits = 9

// parseSize reads a decimal number; -1 if it is none.
func parseSize(d []byte) int {
	if len(d) == 0 || len(d) > maxSizeDigits {
		return -1
	}
	n := 0
	for _, b := range d {
		if b < '0' || b > '9' {
			return -1
		}
		n = n*10 + int(b-'0')
	}
	return n
}

// appendDigits appends a number in at least that many digits.
func appendDigits(dst []byte, n int, digits uint8) []byte {
	for below := 10; digits > 1; digits-- {
		if below > n {
			dst = append(dst, "000000000"[:digits-1]...)
			break
		}
		below *= 10
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

// Args splits the argument of SUB or UNSUB at blanks, CR and LF. It returns how
// many fields there are; only the first len(into) are kept.
func Args(arg []byte, into [][]byte) int {
	n, start := 0, -1
	for i := 0; i <= len(arg); i++ {
		between := i == len(arg) || blank(arg[i]) || arg[i] == '\r' || arg[i] == '\n'
		switch {
		case between && start >= 0:
			if n < len(into) {
				into[n] = arg[start:i]
			}
			n++
			start = -1
		case !between && start < 0:
			start = i
		}
	}
	return n
}

// ParseSize reads a decimal number of at most nine digits; -1 if it is none.
func ParseSize(d []byte) int { return parseSize(d) }
