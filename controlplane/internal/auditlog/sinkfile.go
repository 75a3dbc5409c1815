package auditlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// File is a sink that appends records to a file, a line of JSON each. The file
// may be moved away at any time; a new one is made then.
type File struct{ path string }

// NewFile returns a sink for a file, which need not exist yet.
func NewFile(path string) (*File, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("audit file: %w", err)
	}
	return &File{path: abs}, nil
}

// Name implements [Sink].
func (f *File) Name() string { return "file " + f.path }

// Deliver implements [Sink]. It returns after the records are on the disk.
func (f *File) Deliver(_ context.Context, records []Record) error {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, r := range records {
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("encode audit entry: %w", err)
		}
	}
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open audit file: %w", err)
	}
	_, err = file.Write(lines.Bytes())
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write audit file: %w", err)
	}
	return nil
}
