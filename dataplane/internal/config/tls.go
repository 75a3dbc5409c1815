package config

import (
	"crypto/tls"
	"errors"
	"strings"
	"time"

	"github.com/coveymq/covey/dataplane/internal/secure"
)

// addTLS puts in the keys that say how clients' connections are encrypted.
func (f *file) addTLS(t table) {
	t.add(f.seen("tls", f.tls), "tls")
	t.add(f.boolean(&f.o.AllowPlain), "allow_non_tls")
}

// tls reads the block of that name.
func (f *file) tls(n node) {
	o := &secure.Options{}
	f.o.TLS = o
	if !f.tlsOptions(n, o, f.addClientTLS) {
		return
	}
	if _, err := secure.Load(*o); err != nil {
		f.problem(n, "%v", err)
	}
}

// tlsOptions reads a block that says how connections are encrypted. Special puts
// in what not all such blocks have. It reports false if there is a problem.
func (f *file) tlsOptions(n node, o *secure.Options, special func(table, *secure.Options)) bool {
	var single secure.KeyPair
	t := table{}
	t.add(f.str(&single.CertFile), "cert_file")
	t.add(f.str(&single.KeyFile), "key_file")
	t.add(func(n node) { f.keyPairs(n, &o.Certificates) }, "certs", "certificates")
	t.add(f.str(&o.CAFile), "ca_file")
	t.add(func(n node) { f.pinned(n, o) }, "pinned_certs")
	f.addCiphers(t, o, n)
	t.add(func(n node) { f.minVersion(n, o) }, "min_version")
	t.add(f.secondsOrDuration(&o.Timeout), "timeout")
	special(t, o)
	t.add(f.unsupportedUnless(false), "ocsp_peer", "verify_cert_and_check_known_urls")
	t.add(f.unsupported, "cert_store", "cert_match_by", "cert_match", "ca_certs_match", "cert_match_skip_invalid")
	before := len(f.problems)
	f.block(n, t)
	if single != (secure.KeyPair{}) {
		if len(o.Certificates) > 0 {
			f.problem(n, "cannot combine 'cert_file' option with 'certs' option")
		}
		o.Certificates = append(o.Certificates, single)
	}
	return len(f.problems) == before
}

// addClientTLS puts in what is for those who are connected to by clients.
func (f *file) addClientTLS(t table, o *secure.Options) {
	t.add(f.boolean(&o.Verify), "verify")
	t.add(f.boolean(&o.Map), "verify_and_map")
	t.add(func(n node) { f.first(n, o) }, "handshake_first", "first", "immediate")
	t.add(integer(&f.reader, &o.RateLimit, 0, 1<<31), "connection_rate_limit")
	t.add(f.insecure, "insecure")
}

// addPeerTLS puts in what is different between brokers, which always verify each
// other and shake hands first.
func (f *file) addPeerTLS(t table, o *secure.Options) {
	t.add(func(n node) {
		if v, ok := as[bool](&f.reader, n, "a boolean"); ok && !v {
			f.warn(n, "routes verify certificates all the same")
		}
	}, "verify")
	t.add(func(n node) {
		if v, ok := as[bool](&f.reader, n, "a boolean"); ok && v {
			o.Insecure = true
			f.warn(n, "TLS hostname verification of routes is disabled, system will not verify identity of the server")
		}
	}, "insecure")
	t.add(f.refuse("%s has no meaning between brokers, which have no users"), "verify_and_map")
	t.add(f.refuse("%s has no meaning between brokers, where the handshake always comes first"), "handshake_first", "first", "immediate")
	t.add(f.refuse("%s has no meaning between brokers"), "connection_rate_limit")
}

// addCiphers puts in the keys that choose among algorithms.
func (f *file) addCiphers(t table, o *secure.Options, block node) {
	broken := false
	if members, ok := block.members(); ok {
		for _, m := range members {
			if strings.EqualFold(m.key, "allow_insecure_cipher_suites") {
				broken, _ = m.value.(bool)
			}
		}
	}
	var allow bool
	t.add(f.boolean(&allow), "allow_insecure_cipher_suites")
	t.add(func(n node) {
		for _, name := range f.names(n) {
			id, insecure, err := secure.CipherSuite(name)
			switch {
			case err != nil:
				f.problem(n, "%v", err)
			case insecure && !broken:
				f.problem(n, "insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: %s", name)
			default:
				o.CipherSuites = append(o.CipherSuites, id)
			}
		}
	}, "cipher_suites")
	t.add(func(n node) {
		for _, name := range f.names(n) {
			id, err := secure.Curve(name)
			if err != nil {
				f.problem(n, "%v", err)
				continue
			}
			o.Curves = append(o.Curves, id)
		}
	}, "curve_preferences")
}

// names reads an array of at least one string.
func (f *file) names(n node) []string {
	all, ok := f.strs(n)
	if ok && len(all) == 0 {
		f.problem(n, "%s cannot be empty", n.key)
	}
	return all
}

// keyPairs reads an array of certificates with their keys.
func (f *file) keyPairs(n node, to *[]secure.KeyPair) {
	elements, ok := n.elements()
	if !ok {
		f.problem(n, "%s must be an array of certificates, not %s", n.key, kind(n.value))
		return
	}
	for _, e := range elements {
		var p secure.KeyPair
		e.key = "a certificate"
		t := table{}
		t.add(f.str(&p.CertFile), "cert_file")
		t.add(f.str(&p.KeyFile), "key_file")
		f.block(e, t)
		if p.CertFile == "" || p.KeyFile == "" {
			f.problem(e, "both 'cert_file' and 'key_file' options are required")
		}
		*to = append(*to, p)
	}
}

func (f *file) pinned(n node, o *secure.Options) {
	all, _ := f.strs(n)
	for _, s := range all {
		if _, err := secure.PinnedKey(s); err != nil {
			f.problem(n, "'pinned_certs' %v", err)
			continue
		}
		o.PinnedKeys = append(o.PinnedKeys, s)
	}
}

func (f *file) minVersion(n node, o *secure.Options) {
	v, ok := as[string](&f.reader, n, "a string")
	if !ok {
		return
	}
	var err error
	if o.MinVersion, err = secure.MinVersion(v); err != nil {
		f.problem(n, "%v", err)
	}
}

// first reads whether the handshake comes before INFO: always, never, or for
// clients that begin it within a time.
func (f *file) first(n node, o *secure.Options) {
	switch v := n.value.(type) {
	case bool:
		o.First = v
	case string:
		switch strings.ToLower(v) {
		case "true", "on":
			o.First = true
		case "false", "off":
			o.First = false
		case "auto", "auto_fallback":
			o.First, o.Fallback = true, secure.DefaultFallback
		default:
			d, err := time.ParseDuration(v)
			if err != nil {
				f.problem(n, "field %q's value %q is invalid", n.key, v)
				return
			}
			o.First, o.Fallback = true, d
		}
	default:
		f.problem(n, "field %q should be a boolean or a string, not %s", n.key, kind(v))
	}
}

// insecure is about servers that one connects to.
func (f *file) insecure(n node) {
	if v, ok := as[bool](&f.reader, n, "a boolean"); ok && v {
		f.warn(n, "insecure has no meaning for the connections of clients")
	}
}

// secure reads the certificates that file and flags name.
func (o *Options) secure() error {
	if o.TLS == nil {
		return nil
	}
	o.TLS.AllowPlain = o.AllowPlain
	settings, err := secure.Load(*o.TLS)
	if err != nil {
		return err
	}
	o.Clients.TLS = settings
	o.Access.Map = settings.Map
	if !o.authTimeout {
		o.Clients.AuthTimeout = settings.Timeout + authAfterTLS
	}
	return nil
}

// authAfterTLS is how much longer than its handshake a client may take to say
// who it is, unless that is configured, as in nats-server.
const authAfterTLS = time.Second

// tlsFlags are what the command line says of TLS.
type tlsFlags struct {
	off, on bool
	secure.Options
	pair secure.KeyPair
}

var (
	errTLSCert = errors.New("TLS Server certificate must be present and valid")
	errTLSKey  = errors.New("TLS Server private key must be present and valid")
)

// apply puts the flags over what the file says.
func (t *tlsFlags) apply(o *Options) error {
	switch {
	case t.off: // whatever else is said
		o.TLS = nil
		return nil
	case !t.on:
		return nil
	case t.pair.CertFile == "":
		return errTLSCert
	case t.pair.KeyFile == "":
		return errTLSKey
	}
	over := t.Options
	over.Certificates = []secure.KeyPair{t.pair}
	over.MinVersion = tls.VersionTLS12
	o.TLS = &over
	return nil
}

func (p *parser) defineTLS() {
	t := &p.c.tls
	p.BoolFunc("tls", "", func(v string) error {
		on, err := parseBool(v)
		t.off = err == nil && !on
		t.on = t.on || on
		return err
	})
	p.BoolFunc("tlsverify", "", func(v string) error {
		on, err := parseBool(v)
		t.Verify, t.on = on, true
		return err
	})
	for name, to := range map[string]*string{"tlscert": &t.pair.CertFile, "tlskey": &t.pair.KeyFile, "tlscacert": &t.CAFile} {
		p.Func(name, "", func(v string) error {
			*to, t.on = v, true
			return nil
		})
	}
}
