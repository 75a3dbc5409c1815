package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// sideNames are the two servers of a comparison: the subject and the judge.
func sideNames() [2]string { return [2]string{"A", "B"} }

// Row is the comparison under one workload.
type Row struct {
	Name   string  `json:"name"`
	Title  string  `json:"title"`
	Unit   string  `json:"unit"`
	Figure Figure  `json:"figure"`
	Target float64 `json:"target_ratio"`
	Ratio  float64 `json:"ratio"`
	// Low and High are the extremes of the ratio over the rounds: what the
	// noise of the machine leaves open.
	Low  float64 `json:"ratio_low"`
	High float64 `json:"ratio_high"`
	// Error says why there are no figures, if so.
	Error   string `json:"error,omitempty"`
	Subject Side   `json:"subject"`
	Judge   Side   `json:"judge"`
}

// Side is one server's samples and their medians.
type Side struct {
	Median  Sample   `json:"median"`
	Samples []Sample `json:"samples"`
}

// Report is the whole comparison.
type Report struct {
	When    time.Time `json:"when"`
	Go      string    `json:"go"`
	CPUs    int       `json:"cpus"`
	CPU     string    `json:"cpu"`
	Rounds  int       `json:"rounds"`
	Seconds float64   `json:"seconds"`
	Scale   float64   `json:"scale"`
	Self    bool      `json:"judge_against_itself"`
	Rows    []Row     `json:"rows"`
}

func newReport(o options) *Report {
	return &Report{
		When: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), CPUs: runtime.NumCPU(), CPU: cpuModel(),
		Rounds: o.rounds, Seconds: o.duration.Seconds(), Scale: o.scale, Self: o.subject == "",
	}
}

// cpuModel names the processor, because figures of two machines do not compare.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func newRow(w Workload) Row {
	return Row{Name: w.Name, Title: w.Title, Unit: w.Unit, Figure: w.Figure, Target: w.Target}
}

func (r *Row) add(side int, s Sample) {
	sides := [2]*Side{&r.Subject, &r.Judge}
	sides[side].Samples = append(sides[side].Samples, s)
}

func (r *Row) summarise() {
	r.Subject.Median = medians(r.Subject.Samples)
	r.Judge.Median = medians(r.Judge.Samples)
	r.Ratio = ratio(r.figure(r.Subject.Median), r.figure(r.Judge.Median))
	for i, a := range r.Subject.Samples {
		of := ratio(r.figure(a), r.figure(r.Judge.Samples[i]))
		if i == 0 {
			r.Low, r.High = of, of
		}
		r.Low, r.High = min(r.Low, of), max(r.High, of)
	}
}

func (r *Row) figure(s Sample) float64 {
	if r.Figure == BytesPerUnit {
		return s.BytesPerUnit
	}
	return s.CPUPerUnitNS
}

func ratio(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

// shown is a ratio as the table shows it: a dash where a workload has no such figure.
func shown(a, b float64) string {
	if b <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

// medians takes the median of each figure by itself.
func medians(samples []Sample) Sample {
	of := func(get func(Sample) float64) float64 {
		values := make([]float64, len(samples))
		for i, s := range samples {
			values[i] = get(s)
		}
		return median(values)
	}
	return Sample{
		Units:         int64(of(func(s Sample) float64 { return float64(s.Units) })),
		Published:     int64(of(func(s Sample) float64 { return float64(s.Published) })),
		Seconds:       of(func(s Sample) float64 { return s.Seconds }),
		UnitsPerSec:   of(func(s Sample) float64 { return s.UnitsPerSec }),
		CPUSeconds:    of(func(s Sample) float64 { return s.CPUSeconds }),
		CPUPerUnitNS:  of(func(s Sample) float64 { return s.CPUPerUnitNS }),
		LoaderSeconds: of(func(s Sample) float64 { return s.LoaderSeconds }),
		RSSPeak:       int64(of(func(s Sample) float64 { return float64(s.RSSPeak) })),
		BytesPerUnit:  of(func(s Sample) float64 { return s.BytesPerUnit }),
		P50us:         of(func(s Sample) float64 { return s.P50us }),
		P99us:         of(func(s Sample) float64 { return s.P99us }),
		P999us:        of(func(s Sample) float64 { return s.P999us }),
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}

// verdict says whether the target was reached.
func (r *Row) verdict() string {
	if r.Ratio <= r.Target {
		return "met"
	}
	return "not met"
}

func (r *Report) writeText(out io.Writer) error {
	who := "A = subject, B = stock nats-server"
	if r.Self {
		who = "A = B = stock nats-server (self-test)"
	}
	if _, err := fmt.Fprintf(out, "\n%s\n%s, %d CPUs (%s), %s; medians of %d rounds of %g s, alternating; scale %g\n\n",
		who, r.When.Format(time.RFC3339), r.CPUs, r.CPU, r.Go, r.Rounds, r.Seconds, r.Scale); err != nil {
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format, args...) } // Flush reports the error
	line("workload\tfigure\tA\tB\tA/B\tspread\ttarget\t\trate A/B\tpeak RSS A/B\tp50 A/B\tp99 A/B\tloader CPU/s\n")
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Error != "" {
			line("%s\tfailed, see below\n", row.Title)
			continue
		}
		a, b := row.Subject.Median, row.Judge.Median
		name := "ns CPU/" + row.Unit
		if row.Figure == BytesPerUnit {
			name = "bytes/" + row.Unit
		}
		verdict := row.verdict()
		if r.Self {
			verdict = ""
		}
		line("%s\t%s\t%.0f\t%.0f\t%.2f\t%.2f-%.2f\t%.2f\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Title, name,
			row.figure(a), row.figure(b), row.Ratio, row.Low, row.High, row.Target, verdict,
			shown(a.UnitsPerSec, b.UnitsPerSec), shown(float64(a.RSSPeak), float64(b.RSSPeak)),
			shown(a.P50us, b.P50us), shown(a.P99us, b.P99us), shown(a.LoaderSeconds, a.Seconds))
	}
	return t.Flush()
}

// failures is one error for all workloads that failed, nil if none did.
func (r *Report) failures() error {
	var all []error
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Error != "" {
			all = append(all, fmt.Errorf("%s: %w: %s", row.Name, errWorkload, row.Error))
		}
	}
	return errors.Join(all...)
}

var errWorkload = errors.New("workload failed")

// save writes the table, the JSON and the chart under the folder.
func (r *Report) save(dir, name string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results are for everybody
		return fmt.Errorf("make results folder: %w", err)
	}
	var text strings.Builder
	if err := r.writeText(&text); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	files := map[string][]byte{".txt": []byte(text.String()), ".json": append(data, '\n'), ".svg": r.chart()}
	for ext, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name+ext), content, 0o644); err != nil { //nolint:gosec // as above
			return fmt.Errorf("write results: %w", err)
		}
	}
	return nil
}
