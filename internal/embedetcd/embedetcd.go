// Package embedetcd runs a single-member etcd inside this process. It listens
// on nothing: no client port, no peer port, no socket; its client makes plain
// function calls. It knows nothing of what is stored.
package embedetcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/features"

	"github.com/coveymq/covey/internal/errs"
)

const (
	memberName   = "covey"
	freeBytesMin = 192 << 20              // two write-ahead segments of 64 MB, which etcd preallocates, and some room
	quotaBytes   = 8 << 30                // etcd refuses writes above; its own recommended maximum
	tick         = 20 * time.Millisecond  // with one member an election is a formality; this makes it 0.2 s
	readyWithin  = 30 * time.Second       // replaying a large log takes a while
	historyKept  = time.Hour              // revisions that a watch may resume from
	slowApply    = 100 * time.Millisecond // etcd logs what takes longer
	slowRequest  = 300 * time.Millisecond
	// The log's latest entries are held in memory until they are in a snapshot, and
	// then for members that are behind, of which there are none. An account is an
	// entry of some 8 KB.
	snapshotEvery = 2000
	entriesKept   = 100
	flushEvery    = 100 * time.Millisecond // etcd's default batch interval of its backend
)

// Config says where and how.
type Config struct {
	Dir           string // made if it is missing
	Logger        *slog.Logger
	UnsafeNoFsync bool // tests only: faster, and a crash of the machine loses data
}

// Server is a running etcd.
type Server struct {
	etcd   *etcdserver.EtcdServer
	client *clientv3.Client
	stop   sync.Once
}

// Start opens the store in cfg.Dir, making it if there is none, and returns
// once it takes writes.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, explain(cfg.Dir, fmt.Errorf("make store directory: %w", err))
	}
	if err := checkSpace(cfg.Dir); err != nil {
		return nil, err
	}
	if err := checkBackend(filepath.Join(cfg.Dir, "member", "snap", "db")); err != nil {
		return nil, damaged(cfg.Dir, err)
	}
	srv, err := newServer(cfg)
	if err != nil {
		return nil, explain(cfg.Dir, err)
	}
	srv.Start()
	s := &Server{etcd: srv, client: v3client.New(srv)}
	timeout := time.NewTimer(readyWithin)
	defer timeout.Stop()
	select {
	case <-srv.ReadyNotify():
		return s, nil
	case <-srv.StopNotify():
		err = errors.New("store stopped while starting")
	case <-ctx.Done():
		err = ctx.Err()
	case <-timeout.C:
		err = fmt.Errorf("store not ready within %s", readyWithin)
	}
	return nil, explain(cfg.Dir, errors.Join(err, s.Close()))
}

// Client returns the in-process client. It is closed by Close.
func (s *Server) Client() *clientv3.Client { return s.client }

// Stopped is closed when the store has ended, by Close or on its own.
func (s *Server) Stopped() <-chan struct{} { return s.etcd.StopNotify() }

// Size says how large the database's file is, and how much of it is in use; the
// rest is for what is written next.
func (s *Server) Size() (file, used int64) {
	backend := s.etcd.Backend()
	return backend.Size(), backend.SizeInUse()
}

// Defragment gives the file's room that is not in use back to the disk. Nothing
// is read or written meanwhile.
func (s *Server) Defragment() error {
	if err := s.etcd.Backend().Defrag(); err != nil {
		return fmt.Errorf("defragment store: %w", err)
	}
	return nil
}

// Close stops the store and waits until its files are closed.
func (s *Server) Close() error {
	var err error
	s.stop.Do(func() {
		err = s.client.Close()
		s.etcd.Stop()
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("close store client: %w", err)
	}
	return nil
}

// newServer turns etcd's fatal log lines into errors.
func newServer(cfg Config) (srv *etcdserver.EtcdServer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("open store: %v", p)
		}
	}()
	logger := newLogger(cfg.Logger)
	// The address is a name that the member goes by; nobody listens on it.
	peers := types.URLs{url.URL{Scheme: "http", Host: "covey.invalid:2380"}}
	srv, err = etcdserver.NewServer(config.ServerConfig{
		Name: memberName, DataDir: cfg.Dir, Logger: logger,
		PeerURLs: peers, InitialPeerURLsMap: types.URLsMap{memberName: peers},
		InitialClusterToken: memberName, NewCluster: true,
		SnapshotCount: snapshotEvery, SnapshotCatchUpEntries: entriesKept,
		MaxSnapFiles: 5, MaxWALFiles: 5, BackendFreelistType: bbolt.FreelistMapType, BackendBatchInterval: flushEvery,
		TickMs: uint(tick / time.Millisecond), ElectionTicks: 10, InitialElectionTickAdvance: true, PreVote: true,
		AutoCompactionMode: "periodic", AutoCompactionRetention: historyKept, CompactionBatchLimit: 1000, CompactionSleepInterval: 10 * time.Millisecond,
		QuotaBackendBytes: quotaBytes, MaxTxnOps: 128, MaxRequestBytes: 1536 << 10,
		WarningApplyDuration: slowApply, WarningUnaryRequestDuration: slowRequest,
		StrictReconfigCheck: true, BcryptCost: 10,
		WatchProgressNotifyInterval: 10 * time.Minute, CompactHashCheckTime: time.Minute, DowngradeCheckTime: 5 * time.Second,
		V2Deprecation: config.V2DeprDefault, MaxLearners: 1,
		ServerFeatureGate: features.NewDefaultServerFeatureGate(memberName, logger),
		UnsafeNoFsync:     cfg.UnsafeNoFsync,
	})
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return srv, nil
}

func checkSpace(dir string) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("read free disk space: %w", err)
	}
	return enoughSpace(dir, fs.Bavail*uint64(fs.Bsize)) //nolint:gosec,unconvert // the block size is positive; its type differs between systems
}

func enoughSpace(dir string, free uint64) error {
	if free >= freeBytesMin {
		return nil
	}
	return errs.New(errs.Exhausted, "DISK_FULL", "%s has %d MB of free disk space, less than the %d MB that the store needs", dir, free>>20, freeBytesMin>>20).
		WithNext("free some space or choose another data directory")
}

// checkBackend reads the database once before etcd does: etcd opens it in a
// goroutine of its own, where damage would end the process. Databases above
// backendReadMax get the check of their headers only.
func checkBackend(path string) (err error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find database: %w", err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read database: %v", p)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	const backendReadMax = 64 << 20
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("database was cut to %d of %d bytes", info.Size(), tx.Size())
		}
		if info.Size() > backendReadMax {
			return nil
		}
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(_, _ []byte) error { return nil })
		})
	})
}

// explain gives a start failure its precise error.
func explain(dir string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		return errs.New(errs.Exhausted, "DISK_FULL", "no space is left for the store in %s", dir).
			WithNext("free some space or choose another data directory").WithCause(err)
	}
	if errors.Is(err, os.ErrPermission) {
		return errs.New(errs.Denied, "DATA_DIR_DENIED", "the store in %s cannot be read and written", dir).
			WithNext("check the owner and the mode of the directory").WithCause(err)
	}
	return damaged(dir, err)
}

func damaged(dir string, cause error) error {
	return errs.New(errs.Precondition, "STORE_DAMAGED", "the store in %s is damaged", dir).
		WithNext("restore it from a backup, or move it away to begin anew").WithCause(cause)
}
