package config

import (
	"math"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/coveymq/covey/dataplane/internal/resolver"
	"github.com/coveymq/covey/dataplane/internal/secure"
)

// urlResolver is how a resolver is written that asks a web server.
var urlResolver = regexp.MustCompile(`(?i)^URL\(\s*"?([^\s"]*)"?\s*\)$`)

// resolver reads where accounts come from.
func (f *file) resolver(n node) {
	if _, ok := n.members(); ok {
		f.resolverBlock(n)
		return
	}
	name, ok := as[string](&f.reader, n, "MEMORY, URL(...) or a block with a type")
	if !ok {
		return
	}
	text := strings.TrimSpace(name)
	if found := urlResolver.FindStringSubmatch(text); found != nil {
		u, err := url.Parse(found[1])
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			f.problem(n, "%s must be the URL of a web server", n.key)
			return
		}
		f.operator.Resolver.URL = found[1]
		return
	}
	if !inMemory(text) {
		f.problem(n, "unknown %s %q", n.key, name)
	}
}

// resolverTLS reads how the web server is talked to that has the accounts.
func (f *file) resolverTLS(n node) {
	o := &secure.Options{}
	f.operator.Resolver.TLS = o
	if !f.tlsOptions(n, o, f.addResolverTLS) {
		return
	}
	if _, err := secure.LoadClient(*o); err != nil {
		f.problem(n, "%v", err)
	}
}

// addResolverTLS puts in what is different for who connects to a web server.
func (f *file) addResolverTLS(t table, o *secure.Options) {
	t.add(func(n node) {
		if v, ok := as[bool](&f.reader, n, "a boolean"); ok && v {
			o.Insecure = true
			f.warn(n, "whoever answers at the resolver's address is believed to be it")
		}
	}, "insecure")
	t.add(f.refuse("%s has no meaning for an account resolver"),
		"verify", "verify_and_map", "handshake_first", "first", "immediate", "connection_rate_limit", "pinned_certs", "timeout")
}

// checkResolverTLS sees whether there is a web server to talk to.
func (f *file) checkResolverTLS() {
	n, ok := f.defined["resolver_tls"]
	if ok && f.operator.Resolver.URL == "" {
		f.problem(n, "resolver_tls is for a resolver that is a URL")
	}
}

func inMemory(name string) bool {
	return strings.EqualFold(name, "MEM") || strings.EqualFold(name, "MEMORY")
}

// resolverBlock reads a block with a type.
func (f *file) resolverBlock(n node) {
	r := &f.operator.Resolver
	var kind, dir string
	var allowDelete, hardDelete bool
	set := make(map[string]node)
	t := table{}
	add := func(key string, read func(node)) {
		t.add(func(m node) { set[key] = m; read(m) }, key)
	}
	add("type", f.str(&kind))
	add("dir", f.str(&dir))
	add("limit", integer(&f.reader, &r.Limit, 0, math.MaxInt32))
	add("ttl", f.duration(&r.TTL, false))
	add("allow_delete", f.boolean(&allowDelete))
	add("hard_delete", f.boolean(&hardDelete))
	add("interval", f.duration(&r.Interval, false))
	add("timeout", f.duration(&r.Timeout, false))
	f.block(n, t)
	refuse := func(key, text string) {
		if m, ok := set[key]; ok {
			f.problem(m, "%s", text)
		}
	}
	switch strings.ToUpper(kind) {
	case "FULL":
		refuse("ttl", "FULL does not accept ttl")
		if !allowDelete {
			refuse("hard_delete", "hard_delete has no effect without delete")
		}
	case "CACHE":
		r.Cache = true
		refuse("interval", "CACHE does not accept interval")
		refuse("allow_delete", "CACHE does not accept allow_delete")
		refuse("hard_delete", "CACHE does not accept hard_delete")
	case "MEM", "MEMORY":
		return
	default:
		f.problem(n, "unknown %s type %q, it should be full, cache or memory", n.key, kind)
		return
	}
	if info, err := os.Stat(dir); dir == "" || err == nil && !info.IsDir() {
		f.problem(n, "dir needs to point to a directory")
	}
	if m, ok := set["timeout"]; ok && r.Timeout <= 0 {
		f.problem(m, "timeout must be more than nothing")
	}
	switch {
	case r.Cache, allowDelete && hardDelete:
		r.Removal = resolver.Erase
	case allowDelete:
		r.Removal = resolver.Rename
	}
	r.Dir = dir
}
