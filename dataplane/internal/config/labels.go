package config

import (
	"slices"
	"strings"
)

// serverTags reads the words by which brokers are chosen: in lower case, each
// once, as nats-server keeps them.
func (f *file) serverTags(n node) {
	all, ok := f.strs(n)
	if !ok {
		return
	}
	for _, tag := range all {
		tag = strings.ToLower(strings.TrimSpace(tag))
		if tag == "" {
			f.problem(n, "%s has an empty tag", n.key)
			continue
		}
		if !slices.Contains(f.o.Tags, tag) {
			f.o.Tags = append(f.o.Tags, tag)
		}
	}
}

// serverMetadata reads what is shown of the broker beside its name.
func (f *file) serverMetadata(n node) {
	members, ok := n.members()
	if !ok {
		f.problem(n, "%s must be a block, not %s", n.key, kind(n.value))
		return
	}
	f.o.Metadata = make(map[string]string, len(members))
	for _, m := range members {
		if v, ok := as[string](&f.reader, m, "a string"); ok {
			f.o.Metadata[m.key] = v
		}
	}
}
