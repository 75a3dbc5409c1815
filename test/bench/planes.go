package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"text/tabwriter"
)

// planesSection is the section of three control planes under load.
const (
	planesSection = "controlplane"
	planesName    = "controlplane" // of its result files

	// What is to be reached from a write to the last broker's acknowledgement, in
	// milliseconds.
	ackTarget50 = 100
	ackTarget99 = 1000

	resultMode = 0o644
	folderMode = 0o755
)

// planesTimes are the figures of one kind of call, in milliseconds.
type planesTimes struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// planesRow is what one condition came to.
type planesRow struct {
	Name     string      `json:"name"`
	Title    string      `json:"title"`
	Accounts int         `json:"accounts"`
	Rate     float64     `json:"accounts_per_second"`
	Write    planesTimes `json:"write"`
	Read     planesTimes `json:"read"`
	Ack      planesTimes `json:"write_to_last_acknowledgement"`
	Kills    int         `json:"kills"`
	Retries  int64       `json:"retries"`
	Memory   float64     `json:"memory_mb"`
}

// loadPlanes runs the load that test/planes puts on control planes.
func loadPlanes(ctx context.Context, o options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "planes")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "results.json")
	cmd := exec.CommandContext(ctx, "go", "test", "./test/planes", "-count=1", "-timeout", "0", "-run", "^TestLoad$", //nolint:gosec // a number
		"-args", "-accounts", strconv.Itoa(o.accounts), "-results", file)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("load control planes: %w\n%s", err, said)
	}
	text, err := os.ReadFile(file) //nolint:gosec // we named it
	if errors.Is(err, os.ErrNotExist) {
		return errors.New("control planes were not loaded: the test was skipped, which needs Postgres")
	}
	if err != nil {
		return fmt.Errorf("read results: %w", err)
	}
	var rows []planesRow
	if err := json.Unmarshal(text, &rows); err != nil {
		return fmt.Errorf("read results: %w", err)
	}
	table := planesTable(rows)
	if _, err := out.Write(table); err != nil || o.out == "" {
		return err
	}
	return writeResults(o.out, planesName, map[string][]byte{".json": text, ".txt": table, ".svg": planesChart(rows)})
}

func planesTable(rows []planesRow) []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "control planes\taccounts\tper second\twrite p50 / p99\tread p50 / p99\tto the last acknowledgement p50 / p99\tkills\tretries\tmemory\t")
	for _, r := range rows {
		verdict := "met"
		if !r.met() {
			verdict = fmt.Sprintf("missed: target %d / %d ms", ackTarget50, ackTarget99)
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%.0f\t%s\t%s\t%s\t%d\t%d\t%.0f MB\t%s\n", r.Title, r.Accounts, r.Rate, r.Write, r.Read, r.Ack, r.Kills, r.Retries, r.Memory, verdict)
	}
	_ = w.Flush() // a buffer takes everything
	return b.Bytes()
}

func (r planesRow) met() bool { return r.Ack.P50 <= ackTarget50 && r.Ack.P99 <= ackTarget99 }

// String shows the figures as the table does.
func (t planesTimes) String() string { return fmt.Sprintf("%.0f / %.0f ms", t.P50, t.P99) }

// Measures of this chart, in pixels; milliseconds are on a logarithmic scale.
const (
	planesLabels = 330
	planesWidth  = 820
	planesMost   = 10_000 // milliseconds at the right edge
)

// planesChart draws for each condition and kind of call a bar to the median and
// a line on to the 99th percentile.
func planesChart(rows []planesRow) []byte {
	var b bytes.Buffer
	lines := len(rows) * 4 //nolint:mnd // a title and three bars
	height := chartTop + rowHeight*lines + 16
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12">`+"\n",
		planesWidth, height, planesWidth, height)
	b.WriteString(`<rect width="100%" height="100%" fill="#ffffff"/>` + "\n")
	b.WriteString(`<text x="12" y="22" font-size="15" font-weight="600" fill="#1f2933">Control planes under load</text>` + "\n")
	b.WriteString(`<text x="12" y="40" fill="#52606d">milliseconds, logarithmic: bar = median, line = 99th percentile, ticks = targets of both</text>` + "\n")
	y := chartTop
	for _, r := range rows {
		fmt.Fprintf(&b, `<text x="12" y="%d" font-weight="600" fill="#1f2933">%s: %d accounts, %.0f a second</text>`+"\n",
			y+barHeight, html.EscapeString(r.Title), r.Accounts, r.Rate)
		y += rowHeight
		for _, call := range []struct {
			name    string
			times   planesTimes
			targets []float64
		}{{"write", r.Write, nil}, {"read", r.Read, nil}, {"write to the last acknowledgement", r.Ack, []float64{ackTarget50, ackTarget99}}} {
			planesBar(&b, y, call.name, call.times, call.targets)
			y += rowHeight
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func planesBar(b *bytes.Buffer, y int, name string, t planesTimes, targets []float64) {
	colour := "#2f855a"
	if len(targets) > 0 && (t.P50 > targets[0] || t.P99 > targets[1]) {
		colour = "#c05621"
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end" fill="#1f2933">%s</text>`+"\n", planesLabels-8, y+12, html.EscapeString(name))
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`+"\n", planesLabels, y, planesX(t.P50)-planesLabels, barHeight, colour)
	fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s" stroke-width="2"/>`+"\n",
		planesX(t.P50), y+barHeight/2, planesX(t.P99), y+barHeight/2, colour)
	for _, target := range targets {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#1f2933" stroke-width="2"/>`+"\n", planesX(target), y-2, planesX(target), y+barHeight+2)
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%d" fill="#1f2933">%s</text>`+"\n", planesX(t.P99)+6, y+12, t)
}

// planesX maps milliseconds to a place.
func planesX(ms float64) float64 {
	share := math.Log10(math.Max(ms, 1)) / math.Log10(planesMost)
	return planesLabels + math.Min(share, 1)*(planesWidth-planesLabels-120)
}
