package dataplane_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/coveymq/covey/dataplane/internal/secure/securetest"
)

const proxySignature = "\r\n\r\n\x00\r\nQUIT\n"

// behindProxy are the beginnings of connections through a load balancer.
var behindProxy = map[string]string{ //nolint:gochecknoglobals // a table
	"none":             "",
	"v1":               "PROXY TCP4 10.1.2.3 10.1.2.4 5000 4222\r\n",
	"v1, IPv6":         "PROXY TCP6 2001:db8::1 2001:db8::2 5000 4222\r\n",
	"v1, mapped":       "PROXY TCP6 ::ffff:10.1.2.3 ::ffff:10.1.2.4 5000 4222\r\n",
	"v1, unknown":      "PROXY UNKNOWN\r\n",
	"v1, two addrs":    "PROXY TCP4 10.1.2.3 5000 4222\r\n",
	"v1, mixed":        "PROXY TCP4 10.1.2.3 ::1 5000 4222\r\n",
	"v1, bad port":     "PROXY TCP4 10.1.2.3 10.1.2.4 5000 99999\r\n",
	"v1, bad family":   "PROXY UDP4 10.1.2.3 10.1.2.4 5000 4222\r\n",
	"v1, too long":     "PROXY UNKNOWN " + strings.Repeat("x", 120) + "\r\n",
	"v1, lower case":   "proxy TCP4 10.1.2.3 10.1.2.4 5000 4222\r\n",
	"v2":               proxySignature + "\x21\x11\x00\x0c\x0a\x01\x02\x03\x0a\x01\x02\x04\x13\x88\x10\x7e",
	"v2, with more":    proxySignature + "\x21\x11\x00\x0f\x0a\x01\x02\x03\x0a\x01\x02\x04\x13\x88\x10\x7eabc",
	"v2, with much":    proxySignature + "\x21\x11\x04\x0c\x0a\x01\x02\x03\x0a\x01\x02\x04\x13\x88\x10\x7e" + strings.Repeat("m", 1024),
	"v2, IPv6":         proxySignature + "\x21\x21\x00\x24" + strings.Repeat("\x20\x01\x0d\xb8\x00\x00\x00\x01", 4) + "\x13\x88\x10\x7e",
	"v2, local":        proxySignature + "\x20\x11\x00\x0c\x0a\x01\x02\x03\x0a\x01\x02\x04\x13\x88\x10\x7e",
	"v2, no family":    proxySignature + "\x21\x01\x00\x00",
	"v2, unix":         proxySignature + "\x21\x31\x00\x0c\x0a\x01\x02\x03\x0a\x01\x02\x04\x13\x88\x10\x7e",
	"v2, UDP":          proxySignature + "\x21\x12\x00\x0c\x0a\x01\x02\x03\x0a\x01\x02\x04\x13\x88\x10\x7e",
	"v2, no room":      proxySignature + "\x21\x11\x00\x08\x0a\x01\x02\x03\x13\x88\x10\x7e",
	"v2, version 3":    proxySignature + "\x31\x11\x00\x0c\x0a\x01\x02\x03\x0a\x01\x02\x04\x13\x88\x10\x7e",
	"v2, bad tail":     proxySignature[:11] + "\r\x21\x11\x00\x0c\x0a\x01\x02\x03\x0a\x01\x02\x04\x13\x88\x10\x7e",
	"v1 after v1":      "PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n",
	"something else":   "HELLO WORLD\r\n",
	"the word, no gap": "PROXYTCP4 10.1.2.3\r\n",
}

// fate is what became of a connection.
type fate struct {
	told    bool   // its address, in the first INFO
	alive   bool   // it got the answer to its PING
	ip      string // that monitoring shows
	port    any    // likewise, if not its own
	errText string
}

func (f fate) String() string {
	return fmt.Sprintf("%+v", struct{ f any }{[]any{f.told, f.alive, f.ip, f.port, f.errText}})
}

func (r rival) fate(t *testing.T, begin string, pieces int, config *tls.Config) fate {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", r.client)
	must(t, err)
	defer func() { must(t, c.Close()) }()
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	b := bufio.NewReaderSize(c, 1<<14)
	line, err := b.ReadString('\n')
	must(t, err)
	info := infoOf(t, line)
	f := fate{told: info["client_ip"] != nil}
	rest := "CONNECT {\"verbose\":false}\r\nPING\r\n"
	if config == nil {
		begin += rest
	}
	for n := max(1, len(begin)/pieces); len(begin) > 0; n = min(n, len(begin)) {
		if _, err := c.Write([]byte(begin[:min(n, len(begin))])); err != nil {
			break // it was closed before the end
		}
		begin = begin[min(n, len(begin)):]
	}
	if config != nil {
		tc := tls.Client(c, config)
		if tc.HandshakeContext(t.Context()) != nil {
			return f
		}
		_, err = tc.Write([]byte(rest))
		must(t, err)
		b = bufio.NewReader(tc)
	}
	for !f.alive {
		line, err := b.ReadString('\n')
		if err != nil {
			return f
		}
		f.alive = line == "PONG\r\n"
		if strings.HasPrefix(line, "-ERR") {
			f.errText = line
		}
	}
	all := r.ask(t, fmt.Sprintf("/connz?cid=%v", info["client_id"]))["connections"].([]any)
	if len(all) == 1 {
		conn := all[0].(map[string]any)
		f.ip, f.port = conn["ip"].(string), conn["port"]
		if host, port, _ := net.SplitHostPort(c.LocalAddr().String()); f.ip == host && fmt.Sprint(f.port) == port {
			f.port = nil
		}
	}
	return f
}

func TestProxyProtocolIsNatsServers(t *testing.T) {
	stock, ours := rivals(t, "proxy_protocol: true")
	for name, begin := range behindProxy {
		for _, pieces := range []int{1, 3} {
			want, got := stock.fate(t, begin, pieces, nil), ours.fate(t, begin, pieces, nil)
			if got != want {
				t.Errorf("%s in %d pieces: %v, nats-server has %v", name, pieces, got, want)
			}
		}
	}
}

func TestProxyProtocolComesBeforeTLS(t *testing.T) {
	ca := securetest.NewAuthority(t)
	pair := ca.Server(t)
	conf := fmt.Sprintf("proxy_protocol: true, tls { cert_file: %q, key_file: %q }", pair.CertFile, pair.KeyFile)
	stock, ours := rivals(t, conf)
	mixedStock, mixedOurs := rivals(t, conf+", allow_non_tls: true")
	for _, name := range []string{"none", "v1", "v1, unknown", "v2", "v2, with much", "v1, bad port"} {
		begin := behindProxy[name]
		if want, got := stock.fate(t, begin, 1, ca.Config(t)), ours.fate(t, begin, 1, ca.Config(t)); got != want {
			t.Errorf("%s: %v, nats-server has %v", name, got, want)
		}
		for _, config := range []*tls.Config{nil, ca.Config(t)} {
			if want, got := mixedStock.fate(t, begin, 1, config), mixedOurs.fate(t, begin, 1, config); got != want {
				t.Errorf("%s, both allowed, TLS %v: %v, nats-server has %v", name, config != nil, got, want)
			}
		}
	}
}

// Without proxy_protocol nobody may say that he is somebody else.
func TestProxyHeadersAreNotBelievedUnasked(t *testing.T) {
	stock, ours := rivals(t, "")
	for _, name := range []string{"none", "v1", "v2"} {
		want, got := stock.fate(t, behindProxy[name], 1, nil), ours.fate(t, behindProxy[name], 1, nil)
		if got != want || got.alive != (name == "none") {
			t.Errorf("%s: %v, nats-server has %v", name, got, want)
		}
	}
}
