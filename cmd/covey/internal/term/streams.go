// Package term is how commands talk to people and to programs: data goes to
// standard output, chatter to standard error, and a failure becomes a cause, a
// next step and a documented exit code. It knows nothing of what is printed.
package term

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// Streams is where a command reads and writes. It is set up once and then only
// read; the writers must be safe for the use that a command makes of them.
type Streams struct {
	In  io.Reader
	Out io.Writer // data
	Err io.Writer // chatter and errors

	JSON  bool // data is JSON instead of text
	Color bool // marks for people may be coloured
}

// Sayf writes one line of chatter, which is left out when the caller asked for
// JSON: a program reads the data and the exit code.
func (s *Streams) Sayf(format string, args ...any) {
	if s.JSON {
		return
	}
	_, _ = fmt.Fprintf(s.Err, format+"\n", args...)
}

// PrintJSON writes v as one line of JSON.
func (s *Streams) PrintJSON(v any) error {
	enc := json.NewEncoder(s.Out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	return nil
}

// Table writes aligned columns under a header. Control characters in cells,
// which come from a server, are made visible instead of obeyed.
func (s *Streams) Table(header []string, rows [][]string) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = Clean(cell)
			if cells[i] == "" {
				cells[i] = "-"
			}
		}
		if _, err := fmt.Fprintln(w, strings.Join(cells, "\t")); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// Pair is one line of a description.
type Pair struct{ Name, Value string }

// Describe writes name and value pairs, one a line; empty values are left out.
func (s *Streams) Describe(pairs ...Pair) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	for _, p := range pairs {
		if p.Value == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s:\t%s\n", p.Name, Clean(p.Value)); err != nil {
			return fmt.Errorf("write description: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write description: %w", err)
	}
	return nil
}

// Clean replaces control characters, so that text from elsewhere cannot drive
// a terminal, break a table or turn text around.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Bidi_Control) {
			return '�'
		}
		return r
	}, s)
}

// Time formats t for people, in UTC; the zero time is empty.
func Time(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

const (
	ansiRed   = "\x1b[31m"
	ansiReset = "\x1b[0m"
)

// PrintFault writes err for people: what, then what to do.
func (s *Streams) PrintFault(err error) {
	f := AsFault(err)
	word := "error"
	if s.Color {
		word = ansiRed + word + ansiReset
	}
	_, _ = fmt.Fprintf(s.Err, "%s: %s\n", word, cleanLines(f.What))
	if f.Next != "" {
		_, _ = fmt.Fprintf(s.Err, "  next: %s\n", cleanLines(f.Next))
	}
	if f.RequestID != "" {
		_, _ = fmt.Fprintf(s.Err, "  request: %s\n", Clean(f.RequestID))
	}
}

// cleanLines keeps the line breaks that our own texts have.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = Clean(l)
	}
	return strings.Join(lines, "\n")
}
