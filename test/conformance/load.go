package conformance

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Load parses every script under the directory, in order of file names.
func Load(dir fs.FS) ([]*Script, error) {
	files, err := fs.Glob(dir, "*.txt")
	if err != nil {
		return nil, err
	}
	var all []*Script
	for _, f := range files {
		text, err := fs.ReadFile(dir, f)
		if err != nil {
			return nil, fmt.Errorf("read script: %w", err)
		}
		scripts, err := ParseFile(strings.TrimSuffix(path.Base(f), ".txt"), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, scripts...)
	}
	return all, nil
}
