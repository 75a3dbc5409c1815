package dataplane_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/dataplane"
	"github.com/coveymq/covey/dataplane/internal/auth"
	"github.com/coveymq/covey/dataplane/internal/secure"
	"github.com/coveymq/covey/dataplane/internal/secure/securetest"
)

// mapping is a certificate and the users it is to be found among.
type mapping struct {
	name  string
	cert  func(*x509.Certificate)
	users []string
}

func dc(values ...string) (names []pkix.AttributeTypeAndValue) {
	for _, v := range values {
		names = append(names, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, Value: v})
	}
	return names
}

func mappings() []mapping {
	subject := func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "ann", Organization: []string{"Covey"}, OrganizationalUnit: []string{"one", "two"}, Country: []string{"SE"}}
	}
	all := func(c *x509.Certificate) {
		subject(c)
		c.EmailAddresses = []string{"ann@example.com", "other@example.com"}
		c.DNSNames = []string{"ann.example.com"}
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/ann"}}
	}
	components := func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "ann", ExtraNames: dc("org", "example")}
	}
	return []mapping{
		{"mail before all", all, []string{"spiffe://example.com/ann", "ann.example.com", "ann@example.com", "CN=ann,OU=one+OU=two,O=Covey,C=SE"}},
		{"the second mail address", all, []string{"ann.example.com", "other@example.com"}},
		{"host before URI", all, []string{"spiffe://example.com/ann", "ann.example.com"}},
		{"URI before subject", all, []string{"CN=ann,OU=one+OU=two,O=Covey,C=SE", "spiffe://example.com/ann"}},
		{"subject", all, []string{"nobody", "CN=ann,OU=one+OU=two,O=Covey,C=SE"}},
		{"subject in another order", subject, []string{"C=SE, O=Covey, OU=two+OU=one, cn=ann"}},
		{"a part is missing", subject, []string{"CN=ann,O=Covey,C=SE"}},
		{"only the common name", func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "ann"} }, []string{"ann", "CN=ann"}},
		{"the plain common name is no user", func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "ann"} }, []string{"ann"}},
		{"components", components, []string{"CN=ann,DC=example,DC=org"}},
		{"components in another order", components, []string{"DC=org,DC=example,CN=ann"}},
		{"components as written", components, []string{"DC=example,DC=org,CN=ann"}},
		{"an attribute without a name", func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: "ann", ExtraNames: []pkix.AttributeTypeAndValue{
				{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "x@y"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "ann"},
			}}
		}, []string{"CN=ann"}},
		{"escapes", func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "ann, the first"} }, []string{`CN=ann\, the first`}},
		{"nothing", func(c *x509.Certificate) { c.Subject = pkix.Name{} }, []string{"", "CN="}},
		{"nobody", all, []string{"bob"}},
	}
}

// Certificates lead to the same user as with nats-server.
func TestVerifyAndMapIsStock(t *testing.T) {
	ca := securetest.NewAuthority(t)
	pair := ca.Server(t)
	for _, m := range mappings() {
		t.Run(m.name, func(t *testing.T) {
			shown, _ := ca.Client(t, m.cert)
			config := nats.Secure(ca.Config(t, shown))
			stock := stockMap(t, ca, pair, m.users)
			want := user(t, stock.ClientURL(), config, func() string {
				c, err := stock.Connz(&server.ConnzOptions{Username: true})
				must(t, err)
				return c.Conns[0].AuthorizedUser
			})
			b := startMap(t, ca, pair, m.users)
			got := user(t, b.ClientURL(), config, func() string { return authorizedUser(t, b) })
			if got != want {
				t.Errorf("the user is %q, with nats-server %q", got, want)
			}
		})
	}
}

// user connects and returns who the server takes the client for.
func user(t *testing.T, address string, config nats.Option, ask func() string) string {
	t.Helper()
	nc, err := natsConnect(address, config)
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	defer nc.Close()
	must(t, nc.Flush())
	return ask()
}

func stockMap(t *testing.T, ca *securetest.Authority, pair secure.KeyPair, users []string) *server.Server {
	t.Helper()
	config, err := server.GenTLSConfig(&server.TLSConfigOpts{CertFile: pair.CertFile, KeyFile: pair.KeyFile, CaFile: ca.CAFile, Verify: true})
	must(t, err)
	o := &server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, TLS: true, TLSConfig: config, TLSVerify: true, TLSMap: true, TLSTimeout: 5}
	for _, u := range users {
		o.Users = append(o.Users, &server.User{Username: u})
	}
	s, err := server.NewServer(o)
	must(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("nats-server did not start")
	}
	return s
}

func startMap(t *testing.T, ca *securetest.Authority, pair secure.KeyPair, users []string) *dataplane.Broker {
	t.Helper()
	a := &auth.Access{Map: true, HasUsers: true}
	for _, u := range users {
		a.Users = append(a.Users, auth.User{Name: u})
	}
	o := secure.Options{Certificates: []secure.KeyPair{pair}, CAFile: ca.CAFile, Map: true}
	return startWith(t, dataplane.Config{Access: a, Clients: limits(t, o)})
}

// authorizedUser asks monitoring for the user of the one connection.
func authorizedUser(t *testing.T, b *dataplane.Broker) string {
	t.Helper()
	var z server.Connz
	ask(t, b, "/connz?auth=1", &z)
	if len(z.Conns) != 1 {
		t.Fatalf("%d connections", len(z.Conns))
	}
	return z.Conns[0].AuthorizedUser
}

// ask gets an answer of monitoring as nats-server's own types read it.
func ask(t *testing.T, b *dataplane.Broker, path string, into any) {
	t.Helper()
	r, err := http.Get(b.MonitorURL() + path)
	must(t, err)
	defer r.Body.Close()
	must(t, json.NewDecoder(r.Body).Decode(into))
}

// Monitoring says of TLS what nats-server's says.
func TestMonitoringOfTLSIsStock(t *testing.T) {
	ca := securetest.NewAuthority(t)
	pair := ca.Server(t)
	shown, _ := ca.Client(t, func(c *x509.Certificate) { c.EmailAddresses = []string{"ann@example.com"} })
	stock := stockMap(t, ca, pair, []string{"ann@example.com"})
	b := startMap(t, ca, pair, []string{"ann@example.com"})
	config := ca.Config(t, shown)
	for _, address := range []string{stock.ClientURL(), b.ClientURL()} {
		nc, err := natsConnect(address, nats.Secure(config))
		must(t, err)
		defer nc.Close()
		must(t, nc.Flush())
	}
	want, err := stock.Connz(&server.ConnzOptions{Username: true})
	must(t, err)
	var got server.Connz
	ask(t, b, "/connz?auth=1", &got)
	say := func(c *server.ConnInfo) string {
		return fmt.Sprint(c.TLSVersion, " ", c.TLSCipher, " ", c.TLSFirst, " ", len(c.TLSPeerCerts), " ", *c.TLSPeerCerts[0])
	}
	if g, w := say(got.Conns[0]), say(want.Conns[0]); g != w {
		t.Errorf("connz\ngot  %s\nwant %s", g, w)
	}
	all, err := stock.Varz(nil)
	must(t, err)
	var varz server.Varz
	ask(t, b, "/varz", &varz)
	of := func(v *server.Varz) string {
		return fmt.Sprint(v.TLSRequired, v.TLSVerify, v.TLSTimeout, v.TLSCertNotAfter.UTC())
	}
	all.TLSTimeout = secure.DefaultTimeout.Seconds() // ours has the default
	if g, w := of(&varz), of(all); g != w {
		t.Errorf("varz\ngot  %s\nwant %s", g, w)
	}
}

// A user of a certificate that also has a password must show both.
func TestMapWithPassword(t *testing.T) {
	ca := securetest.NewAuthority(t)
	shown, _ := ca.Client(t, func(c *x509.Certificate) { c.EmailAddresses = []string{"ann@example.com"} })
	a := &auth.Access{Map: true, HasUsers: true, Users: []auth.User{{Name: "ann@example.com", Password: "secret"}}}
	o := secure.Options{Certificates: []secure.KeyPair{ca.Server(t)}, CAFile: ca.CAFile, Map: true}
	b := startWith(t, dataplane.Config{Access: a, Clients: limits(t, o)})
	config := nats.Secure(ca.Config(t, shown))
	dial(t, b, config, nats.UserInfo("whoever", "secret"))
	if _, err := natsConnect(b.ClientURL(), config); err == nil {
		t.Error("the certificate alone was enough")
	}
}
