package auth

import "encoding/json"

// Parse reads the JSON of CONNECT. Fields it does not mention stay as they are.
func (c *Connect) Parse(text []byte) error {
	next := *c
	if r := (reader{text: text}); r.connect(&next) {
		*c = next
		return nil
	}
	return json.Unmarshal(text, c)
}

// reader reads CONNECT as clients write it: known fields, strings without
// escapes, small numbers. Whatever else there is in JSON it leaves to the
// library: it gives up.
type reader struct {
	text []byte
	at   int
}

// connect reads all of the text; false if it gives up.
func (r *reader) connect(c *Connect) bool {
	if r.next() != '{' {
		return false
	}
	if r.at++; r.next() == '}' {
		return r.end()
	}
	for {
		name, ok := r.plain()
		if !ok || r.next() != ':' {
			return false
		}
		r.at++
		if !r.field(c, string(name)) {
			return false
		}
		switch r.next() {
		case ',':
			r.at++
		case '}':
			return r.end()
		default:
			return false
		}
	}
}

// next passes blanks and returns what comes then; 0 at the end.
func (r *reader) next() byte {
	for ; r.at < len(r.text); r.at++ {
		switch b := r.text[r.at]; b {
		case ' ', '\t', '\r', '\n':
		default:
			return b
		}
	}
	return 0
}

// end passes the brace, behind which there is to be nothing.
func (r *reader) end() bool {
	r.at++
	return r.next() == 0 && r.at == len(r.text)
}

func (r *reader) field(c *Connect, name string) bool {
	switch name {
	case "echo":
		return r.flag(&c.Echo)
	case "verbose":
		return r.flag(&c.Verbose)
	case "pedantic":
		return r.flag(&c.Pedantic)
	case "tls_required":
		return r.flag(&c.TLSRequired)
	case "headers":
		return r.flag(&c.Headers)
	case "no_responders":
		return r.flag(&c.NoResponders)
	case "protocol":
		return r.digit(&c.Protocol)
	}
	return r.word(c, name)
}

func (r *reader) word(c *Connect, name string) bool {
	var into *string
	switch name {
	case "nkey":
		into = &c.Nkey
	case "jwt":
		into = &c.JWT
	case "sig":
		into = &c.Sig
	case "auth_token":
		into = &c.Token
	case "user":
		into = &c.Username
	case "pass":
		into = &c.Password
	case "name":
		into = &c.Name
	case "lang":
		into = &c.Lang
	case "version":
		into = &c.Version
	default:
		return false
	}
	text, ok := r.plain()
	if ok {
		*into = string(text)
	}
	return ok
}

// plain reads a string without escapes, of ASCII.
func (r *reader) plain() ([]byte, bool) {
	if r.next() != '"' {
		return nil, false
	}
	r.at++
	for i := r.at; i < len(r.text); i++ {
		switch b := r.text[i]; {
		case b == '"':
			text := r.text[r.at:i]
			r.at = i + 1
			return text, true
		case b < ' ' || b == '\\' || b >= 0x80:
			return nil, false
		}
	}
	return nil, false
}

func (r *reader) flag(into *bool) bool {
	value := "true"
	if r.next() == 'f' {
		value = "false"
	}
	if rest := r.text[r.at:]; len(rest) < len(value) || string(rest[:len(value)]) != value {
		return false
	}
	r.at += len(value)
	*into = value == "true"
	return true
}

// digit reads a number of one digit.
func (r *reader) digit(into *int) bool {
	d := r.next() - '0'
	if d > 9 {
		return false
	}
	r.at++
	*into = int(d)
	return true
}
