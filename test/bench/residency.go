package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/coveymq/covey/internal/lifecycle"
)

// residencySection is the section of one control plane by itself that holds many
// accounts, with the etcd in its process: memory and the size of etcd's database.
const (
	residencySection = "residency"
	residencyName    = "residency" // of its result files

	residencyReads = time.Minute
	memoryEvery    = time.Second

	// What 200,000 accounts are to fit into, in megabytes of 2^20 bytes.
	residencyDatabase = 1024
	residencyMemory   = 1536
)

// residencyRow is what a control plane was while one thing was going on.
type residencyRow struct {
	Phase    string  `json:"phase"`
	Accounts int     `json:"accounts"`
	Seconds  float64 `json:"seconds"`
	Calls    int64   `json:"calls"`
	Database float64 `json:"database_mb"`      // the file
	Resident float64 `json:"resident_mb"`      // at the end, with what of files is mapped
	Own      float64 `json:"resident_own_mb"`  // at the end, without
	Peak     float64 `json:"resident_peak_mb"` // the kernel's, with what of files is mapped
	PeakOwn  float64 `json:"resident_own_peak_mb"`
}

func (r residencyRow) met() bool {
	return r.Database < residencyDatabase && r.Peak < residencyMemory
}

// measureResidency makes accounts through the API of a control plane that is a
// process of its own, starts it again, and reads. Nothing else is in the process
// but etcd and the ledger.
func measureResidency(ctx context.Context, o options, out io.Writer) (err error) {
	if o.subject == "" {
		return errors.New("the section " + residencySection + " needs -subject: covey-controlplane is looked for beside it")
	}
	dir, err := os.MkdirTemp("", "residency")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &single{program: filepath.Join(filepath.Dir(o.subject), "covey-controlplane"), dir: dir}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx); err != nil {
		return err
	}
	var rows []residencyRow
	for _, phase := range []struct {
		title string
		work  func(context.Context) (int64, error)
	}{
		{"made through the API", func(ctx context.Context) (int64, error) { return s.load(ctx, o.accounts) }},
		{"started again, no calls", s.restart},
		{"read, listed, watched and changed", s.read},
	} {
		row, err := s.watchMemory(ctx, phase.work)
		if err != nil {
			return fmt.Errorf("%s: %w", phase.title, err)
		}
		row.Phase, row.Accounts = phase.title, o.accounts
		rows = append(rows, row)
		_, _ = fmt.Fprintf(out, "%s: %.0f s, %d calls, %.0f MB at the most\n", row.Phase, row.Seconds, row.Calls, row.Peak) // the table follows
	}
	return saveResidency(rows, o, out)
}

// watchMemory looks at the process's memory while work goes on.
func (s *single) watchMemory(ctx context.Context, work func(context.Context) (int64, error)) (residencyRow, error) {
	var row residencyRow
	began := time.Now()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	g := lifecycle.NewGroup(watching)
	g.Side(func(ctx context.Context) error {
		for rest(ctx, memoryEvery) == nil {
			row.PeakOwn = max(row.PeakOwn, megabytes(s.memory().Own))
		}
		return nil
	})
	calls, err := work(ctx)
	stop()
	if err := errors.Join(err, g.Wait()); err != nil {
		return row, err
	}
	m := s.memory()
	row.Seconds, row.Calls = time.Since(began).Seconds(), calls
	row.Resident, row.Own, row.Peak = megabytes(m.RSS), megabytes(m.Own), megabytes(m.Peak)
	row.PeakOwn = max(row.PeakOwn, row.Own)
	row.Database, err = s.database()
	return row, err
}

func megabytes(n int64) float64 { return float64(n) / megabyte }

func saveResidency(rows []residencyRow, o options, out io.Writer) error {
	table := residencyTable(rows)
	if _, err := out.Write(table); err != nil || o.out == "" {
		return err
	}
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	return writeResults(o.out, residencyName, map[string][]byte{".json": append(text, '\n'), ".txt": table})
}

func residencyTable(rows []residencyRow) []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "one control plane with its etcd\taccounts\tcalls\tseconds\tetcd's database\tmemory at the end\tits peak\tof that without mapped files\t")
	for _, r := range rows {
		verdict := "met"
		if !r.met() {
			verdict = fmt.Sprintf("missed: target %d MB of database, %d MB of memory", residencyDatabase, residencyMemory)
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%.0f\t%.0f MB\t%.0f MB\t%.0f MB\t%.0f MB\t%s\n",
			r.Phase, r.Accounts, r.Calls, r.Seconds, r.Database, r.Resident, r.Peak, r.PeakOwn, verdict)
	}
	_ = w.Flush() // a buffer takes everything
	return b.Bytes()
}
