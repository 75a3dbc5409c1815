package config

import (
	"fmt"
	"os"

	"github.com/nats-io/nats-server/v2/conf"
)

// Load reads a configuration file. The error is a Problems if the file could be
// read.
func Load(path string) (*Options, error) {
	o := Default()
	if err := o.load(path); err != nil {
		return nil, err
	}
	if err := o.secure(); err != nil {
		return nil, err
	}
	o.resolve()
	if err := o.checkMonitoring(); err != nil {
		return nil, err
	}
	return o, nil
}

// load reads a file over what o says. On an error o is not to be used.
func (o *Options) load(path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	tree, digest, err := conf.ParseFileWithChecksDigest(path)
	if err != nil {
		return Problems{{File: path, Text: err.Error()}}
	}
	o.File, o.Digest = path, digest
	f := &file{reader: reader{defined: make(map[string]node)}, o: o}
	root := node{key: path, value: tree, file: path}
	f.block(root, f.keys())
	f.check(root)
	o.Warnings = f.warnings.sorted()
	if len(f.problems) > 0 {
		return f.problems.sorted()
	}
	return nil
}

// file reads one configuration file into options.
type file struct {
	reader
	o *Options
	// credentials are all that users are known by, to find doubles.
	credentials map[string]bool
	// operator is what the operators' JWTs and the resolver's keys say.
	operator Operator
	// systems are the system accounts that operators name, in their order.
	systems []string
	// sharing is what accounts export and import.
	sharing []sharing
}

// seen notes that a key was there, under a name that does not depend on its
// spelling.
func (f *file) seen(name string, read func(node)) func(node) {
	return func(n node) {
		f.defined[name] = n
		read(n)
	}
}
