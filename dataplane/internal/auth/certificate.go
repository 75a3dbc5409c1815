package auth

import (
	"crypto/x509"

	"github.com/coveymq/covey/dataplane/internal/account"
)

// byCertificate finds the user that the client's certificate names. What CONNECT
// says of a user does not count, but a password that the configuration gives the
// user must be shown.
func (s *Static) byCertificate(c *Connect) (*account.Identity, error) {
	if c.Peer == nil {
		return nil, account.Violation("the client showed no certificate to find its user by")
	}
	m := s.certified(c.Peer)
	switch {
	case m == nil:
		return nil, account.Violation("no user has the name of the certificate: " + c.Peer.Subject.String())
	case m.user.Password != "" && !m.user.Password.matches(c.Password), m.user.Password == "" && c.Password != "":
		return nil, account.Violation("wrong password for the user of the certificate")
	}
	return s.admit(m)
}

// certified looks for a user by the alternative names of a certificate: mail
// addresses, hosts, URIs; then by its subject: as a distinguished name, in
// whatever order, and at last as the text that it is usually written as.
func (s *Static) certified(cert *x509.Certificate) *member {
	names := append(append([]string(nil), cert.EmailAddresses...), cert.DNSNames...)
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	for _, name := range names {
		if m := s.usable(name); m != nil {
			return m
		}
	}
	if m := s.bySubject(cert.RawSubject); m != nil {
		return m
	}
	text := cert.Subject.ToRDNSequence().String()
	if dcs := domainComponents(cert.RawSubject); dcs != "" {
		if m := s.usable(text + "," + dcs); m != nil {
			return m
		}
	}
	return s.usable(text)
}

// usable returns the user of a name that may use this kind of connection. No
// user has the empty name.
func (s *Static) usable(name string) *member {
	m := s.users[name]
	if name == "" || m == nil || !m.standard() {
		return nil
	}
	return m
}

// bySubject looks for a user whose name is a distinguished name equal to that of
// the certificate, or else one with the same parts.
func (s *Static) bySubject(raw []byte) *member {
	want, err := certificateDN(raw)
	if err != nil || len(want) == 0 {
		return nil
	}
	var same *member
	for i := range s.access.Users {
		m := s.users[s.access.Users[i].Name]
		if m == nil || !m.standard() {
			continue
		}
		got, err := parseDN(m.user.Name)
		if err != nil {
			continue
		}
		if got.equal(want) {
			return m
		}
		if same == nil && got.permutes(want) {
			same = m
		}
	}
	return same
}
