package controlplane

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"

	"github.com/coveymq/covey/controlplane/internal/auditlog"
	"github.com/coveymq/covey/controlplane/internal/backup"
	"github.com/coveymq/covey/controlplane/internal/store"
	"github.com/coveymq/covey/internal/errs"
)

// Backup writes a copy of the store, as it is now, to w.
func (s *Server) Backup(ctx context.Context, w io.Writer) error {
	h := backup.Header{Schema: store.SchemaVersion, Installation: s.InstallationID()}
	h, err := backup.Write(ctx, s.etcd.client, h, w)
	if err == nil {
		s.log.InfoContext(ctx, "backup written", "rev", h.Revision)
	}
	return err
}

// staff does what the API offers to the operator's staff.
type staff struct{ *Server }

// VerifyAudit checks every audit log.
func (s staff) VerifyAudit(ctx context.Context, each func(auditlog.Verdict) error) error {
	return s.audit.VerifyAll(ctx, each)
}

// Backed says what is in a backup.
type Backed struct {
	Header backup.Header
	Keys   int64
	Counts []string // "12 account", by name
}

// VerifyBackup reads a backup to its end and checks everything in it that can be
// checked without the key that seals secrets.
func VerifyBackup(r io.Reader) (Backed, error) {
	c := store.NewChecker()
	h, keys, err := backup.Check(r, c.Add)
	if err == nil && h.Schema > store.SchemaVersion {
		err = errs.New(errs.Precondition, "STORE_NEWER", "a newer version of Covey wrote the backup").WithNext("use that version")
	}
	if err == nil {
		err = c.Finish()
	}
	if err != nil && errs.CodeOf(err) == errs.Internal {
		err = errs.New(errs.Invalid, "BACKUP_INCONSISTENT", "the backup is complete, and what is in it does not fit together").
			WithNext("use another one, and look into the store that it is of").WithCause(err)
	}
	out := Backed{Header: h, Keys: keys}
	for _, kind := range slices.Sorted(maps.Keys(c.Counts)) {
		out.Counts = append(out.Counts, fmt.Sprintf("%d %s", c.Counts[kind], kind))
	}
	return out, err
}

// Restore writes a backup into the empty store of a configuration: an etcd
// elsewhere, or the one in the data directory. No control plane may run on it.
// It gives back what VerifyBackup says of the backup.
func Restore(ctx context.Context, cfg Config, from io.ReadSeeker) (out Backed, err error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return out, err
	}
	if out, err = VerifyBackup(from); err != nil {
		return out, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return out, fmt.Errorf("read backup again: %w", err)
	}
	dir, err := openDataDir(cfg.DataDir)
	if err != nil {
		return out, err
	}
	defer closeLogged(ctx, cfg.Logger, dir)
	etcd, err := openEtcd(ctx, cfg, dir)
	if err != nil {
		return out, err
	}
	defer closeLogged(ctx, cfg.Logger, etcd)
	_, _, err = backup.Restore(ctx, etcd.client, from)
	return out, err
}

func closeLogged(ctx context.Context, log *slog.Logger, c io.Closer) {
	if err := c.Close(); err != nil {
		log.WarnContext(ctx, "not closed", "err", err)
	}
}

// refuseUnfinished does not start on a store that was restored in part.
func (s *Server) refuseUnfinished(ctx context.Context) error {
	unfinished, err := backup.Unfinished(ctx, s.etcd.client)
	if err == nil && unfinished {
		err = errs.New(errs.Precondition, "RESTORE_UNFINISHED", "a restore into this store was not finished").
			WithNext("delete all keys that begin with /covey/, or the data directory, and restore again")
	}
	return err
}
