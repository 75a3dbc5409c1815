package proxyproto_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/proxyproto"
)

const (
	signature = "\r\n\r\n\x00\r\nQUIT\n"
	four      = "\x0a\x01\x02\x03\x0a\x01\x02\x04\x13\x88\x10\x7e" // 10.1.2.3:5000 to 10.1.2.4:4222
	six       = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x13\x88\x10\x7e"
)

func TestHeaders(t *testing.T) {
	for name, c := range map[string]struct{ text, source string }{
		"v1, IPv4":              {"PROXY TCP4 10.1.2.3 10.1.2.4 5000 4222\r\n", "10.1.2.3:5000"},
		"v1, IPv6":              {"PROXY TCP6 2001:db8::1 2001:db8::2 5000 4222\r\n", "[2001:db8::1]:5000"},
		"v1, mapped":            {"PROXY TCP6 ::ffff:10.1.2.3 ::ffff:10.1.2.4 5000 4222\r\n", "[::ffff:10.1.2.3]:5000"},
		"v1, unknown":           {"PROXY UNKNOWN\r\n", ""},
		"v1, unknown with more": {"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", ""},
		"v2, IPv4":              {signature + "\x21\x11\x00\x0c" + four, "10.1.2.3:5000"},
		"v2, IPv6":              {signature + "\x21\x21\x00\x24" + six, "[2001:db8::1]:5000"},
		"v2, IPv4 with more":    {signature + "\x21\x11\x00\x10" + four + "\x04\x00\x01\x00", "10.1.2.3:5000"},
		"v2, local":             {signature + "\x20\x00\x00\x00", ""},
		"v2, local with more":   {signature + "\x20\x11\x00\x0c" + four, ""},
		"v2, no family":         {signature + "\x21\x01\x00\x03abc", ""},
	} {
		h, err := proxyproto.Parse([]byte(c.text + "CONNECT {}\r\n"))
		want := netip.AddrPort{}
		if c.source != "" {
			want = netip.MustParseAddrPort(c.source)
		}
		if err != nil || h.Source != want || h.Length != len(c.text) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

func TestHeadersThatAreNone(t *testing.T) {
	for _, text := range []string{
		"PROXY TCP4 10.1.2.3 10.1.2.4 5000\r\n",
		"PROXY TCP4 10.1.2.3 10.1.2.4 5000 4222 1\r\n",
		"PROXY TCP4 2001:db8::1 2001:db8::2 5000 4222\r\n",
		"PROXY TCP6 10.1.2.3 10.1.2.4 5000 4222\r\n",
		"PROXY TCP5 10.1.2.3 10.1.2.4 5000 4222\r\n",
		"PROXY TCP4 10.1.2.300 10.1.2.4 5000 4222\r\n",
		"PROXY TCP4 10.1.2.3 10.1.2.4 70000 4222\r\n",
		"PROXY TCP6 fe80::1%eth0 fe80::2 5000 4222\r\n",
		"PROXY \r\n",
		"PROXY " + strings.Repeat("x", 200),
		"PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n",
		signature + "\x11\x11\x00\x0c" + four,
		signature + "\x22\x11\x00\x0c" + four,
		signature + "\x21\x12\x00\x0c" + four,
		signature + "\x21\x31\x00\x0c" + four,
		signature + "\x21\x11\x00\x0b" + four,
		signature + "\x21\x21\x00\x0c" + four,
		"\r\n\r\n\x00\r\nQUIT\r\x21\x11\x00\x0c" + four,
	} {
		if h, err := proxyproto.Parse([]byte(text)); err == nil || errors.Is(err, proxyproto.ErrMore) || errors.Is(err, proxyproto.ErrNone) {
			t.Errorf("%q: %+v, %v", text, h, err)
		}
	}
	for _, text := range []string{"CONNECT {}\r\n", "PING\r\nPING\r\n", "\x16\x03\x01\x00\x00\x00\x00", "PROXYTCP"} {
		if _, err := proxyproto.Parse([]byte(text)); !errors.Is(err, proxyproto.ErrNone) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Whatever comes, Peek bytes decide, no prefix decides otherwise, and the length
// covers what was looked at.
func FuzzParse(f *testing.F) {
	f.Add([]byte("PROXY TCP4 10.1.2.3 10.1.2.4 5000 4222\r\nPING\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte(signature + "\x21\x11\x00\x0c" + four))
	f.Add([]byte(signature + "\x21\x21\x01\x24" + six))
	f.Add([]byte("CONNECT {}\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err := proxyproto.Parse(b)
		if errors.Is(err, proxyproto.ErrMore) && len(b) >= proxyproto.Peek {
			t.Fatalf("%d bytes are not enough", len(b))
		}
		if err == nil && (whole.Length < 8 || whole.Source.IsValid() && whole.Source.Addr().Zone() != "") {
			t.Fatalf("%+v", whole)
		}
		for n := range b {
			part, e := proxyproto.Parse(b[:n])
			if errors.Is(e, proxyproto.ErrMore) {
				continue
			}
			if part != whole || (e == nil) != (err == nil) {
				t.Fatalf("with %d bytes %+v, %v; with all %+v, %v", n, part, e, whole, err)
			}
		}
	})
}
