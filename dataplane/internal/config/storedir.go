package config

// storeDir accepts where streams would be stored: harnesses name the place
// whether they switch streams on or not, and switching them on is refused.
func (f *file) storeDir(n node) {
	if _, ok := as[string](&f.reader, n, "a string"); ok {
		f.warn(n, "%s has no effect: there are no streams", n.key)
	}
}

// defineStoreDir does the same for the flags.
func (p *parser) defineStoreDir() {
	p.str(func(o *Options, _ string) {
		o.Warnings = append(o.Warnings, Problem{Text: "--store_dir has no effect: there are no streams"})
	}, "sd", "store_dir")
}
