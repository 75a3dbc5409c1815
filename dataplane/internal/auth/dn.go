package auth

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// attribute is one `type=value` of a distinguished name.
type attribute struct{ kind, value string }

// rdn is one part of a distinguished name: a set of attributes, sorted.
type rdn []attribute

// dn is a distinguished name, the most specific part first, as RFC 4514 writes
// it.
type dn []rdn

// attributeKinds are the types that names in certificates may have to be
// compared with names in a configuration.
var attributeKinds = map[string]string{ //nolint:gochecknoglobals // a table of constants
	"2.5.4.3":                    "CN",
	"2.5.4.5":                    "SERIALNUMBER",
	"2.5.4.6":                    "C",
	"2.5.4.7":                    "L",
	"2.5.4.8":                    "ST",
	"2.5.4.9":                    "STREET",
	"2.5.4.10":                   "O",
	"2.5.4.11":                   "OU",
	"2.5.4.17":                   "POSTALCODE",
	"0.9.2342.19200300.100.1.25": "DC",
}

var (
	errAttribute = errors.New("an attribute that has no name here")
	errSyntax    = errors.New("not a distinguished name")
)

// certificateDN reads the subject of a certificate.
func certificateDN(raw []byte) (dn, error) {
	var seq pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &seq); err != nil {
		return nil, err
	}
	name := make(dn, 0, len(seq))
	for _, set := range slices.Backward(seq) {
		part := make(rdn, 0, len(set))
		for _, a := range set {
			value, ok := a.Value.(string)
			kind, known := attributeKinds[a.Type.String()]
			if !ok || !known {
				return nil, errAttribute
			}
			part = append(part, attribute{kind, value})
		}
		name = append(name, part.sorted())
	}
	return name, nil
}

// domainComponents returns the DC attributes of a subject as they stand, in the
// form `DC=a,DC=b`.
func domainComponents(raw []byte) string {
	var seq pkix.RDNSequence
	if _, err := asn1.Unmarshal(raw, &seq); err != nil {
		return ""
	}
	var all []string
	for _, set := range seq {
		for _, a := range set {
			if value, ok := a.Value.(string); ok && attributeKinds[a.Type.String()] == "DC" {
				all = append(all, "DC="+value)
			}
		}
	}
	return strings.Join(all, ",")
}

// parseDN reads a distinguished name as RFC 4514 writes it. Values in BER
// (`#...`) are not understood.
func parseDN(s string) (dn, error) {
	var name dn
	var part rdn
	for s != "" {
		kind, rest, ok := strings.Cut(s, "=")
		if kind = strings.Trim(kind, " "); !ok || kind == "" || strings.HasPrefix(rest, "#") {
			return nil, errSyntax
		}
		value, end, rest, err := dnValue(rest)
		if err != nil {
			return nil, err
		}
		part = append(part, attribute{strings.ToUpper(kind), value})
		if end != '+' {
			name = append(name, part.sorted())
			part = nil
		}
		if s = rest; end != 0 && s == "" {
			return nil, errSyntax
		}
	}
	return name, nil
}

// dnValue reads a value up to the comma or plus behind it, which it returns, or
// 0 at the end. Blanks around it do not count unless they are escaped.
func dnValue(s string) (value string, end byte, rest string, err error) {
	s = strings.TrimLeft(s, " ")
	var b []byte
	kept := 0 // how much of b ends in something other than a bare blank
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ',', '+':
			return string(b[:kept]), c, s[i+1:], nil
		case '\\':
			esc, n := unescape(s[i+1:])
			if n == 0 {
				return "", 0, "", errSyntax
			}
			b = append(b, esc)
			i += n
			kept = len(b)
		default:
			b = append(b, c)
			if c != ' ' {
				kept = len(b)
			}
		}
	}
	return string(b[:kept]), 0, "", nil
}

// unescape reads what follows a backslash: a special character or two
// hexadecimal digits. It returns how long that is, 0 if it is neither.
func unescape(s string) (byte, int) {
	if s == "" {
		return 0, 0
	}
	if strings.IndexByte(` "#+,;<=>\`, s[0]) >= 0 {
		return s[0], 1
	}
	if len(s) >= 2 {
		if b, err := hex.DecodeString(s[:2]); err == nil {
			return b[0], 2
		}
	}
	return 0, 0
}

func (r rdn) sorted() rdn {
	slices.SortFunc(r, func(a, b attribute) int {
		if c := strings.Compare(a.kind, b.kind); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	return r
}

// equal reports whether two names are the same, part by part.
func (d dn) equal(other dn) bool {
	return slices.EqualFunc(d, other, func(a, b rdn) bool { return slices.Equal(a, b) })
}

// permutes reports whether two names have the same parts, in whatever order.
func (d dn) permutes(other dn) bool {
	if len(d) != len(other) {
		return false
	}
	left := slices.Clone(other)
	for _, part := range d {
		i := slices.IndexFunc(left, func(o rdn) bool { return slices.Equal(part, o) })
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return true
}
