package meter

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Orphan is the usage file of an incarnation that is gone: its final counts.
// It is locked, so that no second successor adopts it.
type Orphan struct {
	contents
	path string
	file *os.File
}

// IncarnationID names the incarnation that counted.
func (o *Orphan) IncarnationID() string { return o.incarnation }

// Started is when that incarnation began to count.
func (o *Orphan) Started() time.Time { return o.started }

// Snapshot calls yield for every series, until yield returns false.
func (o *Orphan) Snapshot(yield func(Series) bool) {
	for _, s := range o.series {
		if !yield(s) {
			return
		}
	}
}

// Unresolved bounds what was handed to the kernel and not yet counted when the
// process died. It is never billed.
func (o *Orphan) Unresolved() (messages, bytes uint64) {
	return o.unresolvedMessages, o.unresolvedBytes
}

// Delete removes the file, once the ledger holds every series.
func (o *Orphan) Delete() error {
	if o.file == nil {
		return nil
	}
	return errors.Join(os.Remove(o.path), o.Close())
}

// Close leaves the file for the next successor.
func (o *Orphan) Close() error {
	if o.file == nil {
		return nil
	}
	err := o.file.Close()
	o.file = nil
	return err
}

// adopt takes over every usage file in dir whose process is gone.
func adopt(dir string, log *slog.Logger) ([]*Orphan, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read usage directory: %w", err)
	}
	var orphans []*Orphan
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasSuffix(e.Name(), fileSuffix+draftSuffix):
			removeDraft(path, log)
		case strings.HasSuffix(e.Name(), fileSuffix):
			o, err := adoptFile(path, log)
			if err != nil {
				for _, o := range orphans {
					err = errors.Join(err, o.Close())
				}
				return nil, err
			}
			if o != nil {
				orphans = append(orphans, o)
			}
		}
	}
	return orphans, nil
}

// removeDraft removes a file whose process died before it was complete. It
// holds no counts. A draft that somebody has locked is being written.
func removeDraft(path string, log *slog.Logger) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return // gone meanwhile
	}
	defer func() { _ = f.Close() }() // nothing was written
	if lock(f) != nil {
		return
	}
	if err := os.Remove(path); err != nil {
		log.Warn("unfinished usage file stays", "path", path, "err", err)
	}
}

// adoptFile returns nil without an error when there is nothing to adopt.
func adoptFile(path string, log *slog.Logger) (*Orphan, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // another successor was faster
	}
	if err != nil {
		return nil, fmt.Errorf("open usage file: %w", err)
	}
	o := &Orphan{path: path, file: f}
	if lock(f) != nil || !sameFile(f, path) {
		return nil, o.Close() // its process lives, or another successor has it
	}
	// Read, not mapped: a file that is cut short is then an error, not a SIGBUS.
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read usage file: %w", err), o.Close())
	}
	c, err := parse(data)
	if err != nil {
		log.Error("usage file cannot be adopted; its counts are not billed", "path", path, "err", err)
		return nil, errors.Join(os.Rename(path, path+damagedSuffix), o.Close())
	}
	o.contents = *c
	o.report(log)
	if len(o.series) == 0 {
		return nil, o.Delete()
	}
	return o, nil
}

func (o *Orphan) report(log *slog.Logger) {
	log.Info("usage file adopted", "incarnation", o.incarnation, "series", len(o.series),
		"rebooted", o.bootID != bootID(), "unresolved_messages", o.unresolvedMessages, "unresolved_bytes", o.unresolvedBytes)
	if o.damaged > 0 {
		log.Error("usage file is damaged in part; what makes no sense is not billed",
			"path", o.path, "damaged", o.damaged)
	}
	slices.SortFunc(o.series, func(a, b Series) int { return strings.Compare(a.Account, b.Account) })
}

// sameFile reports whether path still names the open file: a successor that
// was faster may have deleted it between open and lock.
func sameFile(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(open, named)
}
