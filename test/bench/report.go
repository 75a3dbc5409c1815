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

// sideNames are the servers of a comparison: the subject, the judge, and the
// subject with metering on.
func sideNames() [3]string { return [3]string{"A", "B", "M"} }

// Row is the comparison under one workload.
type Row struct {
	Name   string  `json:"name"`
	Title  string  `json:"title"`
	Unit   string  `json:"unit"`
	Figure Figure  `json:"figure"`
	Target float64 `json:"target_ratio"`
	Limit  float64 `json:"target_most,omitempty"` // of the subject's figure by itself
	Ratio  float64 `json:"ratio"`
	// Low and High are the extremes of the ratio over the rounds: what the
	// noise of the machine leaves open.
	Low  float64 `json:"ratio_low"`
	High float64 `json:"ratio_high"`
	// Further ratios: of latencies, of units a second, of peak memory.
	P50  Condition `json:"p50"`
	P99  Condition `json:"p99"`
	Rate Condition `json:"rate"`
	RSS  Condition `json:"rss_peak"`
	// MeteredRatio is the ratio of the primary figure with metering on.
	MeteredRatio float64 `json:"metered_ratio,omitempty"`
	// Self says that the judge is the subject itself under other conditions.
	Self bool `json:"against_itself,omitempty"`
	// Unmet says what was not reached.
	Unmet []string `json:"unmet,omitempty"`
	// Error says why there are no figures, if so.
	Error   string `json:"error,omitempty"`
	Subject Side   `json:"subject"`
	Judge   Side   `json:"judge"`
	Metered *Side  `json:"metered,omitempty"`
}

// Condition is a ratio beside the primary one, and what it is to reach.
type Condition struct {
	Ratio  float64 `json:"ratio"`
	Target float64 `json:"target,omitempty"` // 0 for none
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
	r := Row{
		Name: w.Name, Title: w.Title, Unit: w.Unit, Figure: w.Figure, Target: w.Target, Limit: w.Limit, Self: w.Against != nil,
		P50: Condition{Target: w.P50}, P99: Condition{Target: w.P99}, Rate: Condition{Target: w.Rate},
	}
	if !r.Self {
		r.RSS.Target = 1 // under every load
	}
	return r
}

func (r *Row) add(side int, s Sample) {
	if side == metered && r.Metered == nil {
		r.Metered = &Side{}
	}
	sides := [...]*Side{subject: &r.Subject, judge: &r.Judge, metered: r.Metered}
	sides[side].Samples = append(sides[side].Samples, s)
}

func (r *Row) summarise() {
	r.Subject.Median = medians(r.Subject.Samples)
	r.Judge.Median = medians(r.Judge.Samples)
	r.Ratio = ratio(r.figure(r.Subject.Median), r.figure(r.Judge.Median))
	a, b := r.Subject.Median, r.Judge.Median
	r.P50.Ratio, r.P99.Ratio = ratio(a.P50us, b.P50us), ratio(a.P99us, b.P99us)
	r.Rate.Ratio, r.RSS.Ratio = ratio(a.UnitsPerSec, b.UnitsPerSec), ratio(float64(a.RSSPeak), float64(b.RSSPeak))
	if r.Metered != nil {
		r.Metered.Median = medians(r.Metered.Samples)
		r.MeteredRatio = ratio(r.figure(r.Metered.Median), r.figure(b))
	}
	r.Unmet = r.unmet()
	for i, a := range r.Subject.Samples {
		of := ratio(r.figure(a), r.figure(r.Judge.Samples[i]))
		if i == 0 {
			r.Low, r.High = of, of
		}
		r.Low, r.High = min(r.Low, of), max(r.High, of)
	}
}

func (r *Row) figure(s Sample) float64 {
	switch r.Figure {
	case BytesPerUnit:
		return s.BytesPerUnit
	case Harm:
		return s.Harm
	case CPUPerUnit:
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
func shown(ratio float64) string {
	if ratio <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", ratio)
}

// target is what the row is to reach, as the table shows it.
func (r *Row) target() string {
	switch {
	case r.Target == 0:
		return fmt.Sprintf("A %.0f", r.Limit)
	case r.Limit > 0:
		return fmt.Sprintf("%.2f, A %.0f", r.Target, r.Limit)
	}
	return fmt.Sprintf("%.2f", r.Target)
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
		Harm:          of(func(s Sample) float64 { return s.Harm }),
		Beside:        of(func(s Sample) float64 { return s.Beside }),
		Failed:        of(func(s Sample) float64 { return s.Failed }),
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

// unmet says which targets were not reached.
func (r *Row) unmet() []string {
	var all []string
	beyond := func(what string, c Condition) {
		if c.Target > 0 && c.Ratio > c.Target {
			all = append(all, fmt.Sprintf("%s %.2f > %.2f", what, c.Ratio, c.Target))
		}
	}
	beyond("ratio", Condition{r.Ratio, r.Target})
	beyond("metered", Condition{r.MeteredRatio, r.Target})
	if own := r.figure(r.Subject.Median); r.Limit > 0 && own > r.Limit {
		all = append(all, fmt.Sprintf("A %.0f > %.0f", own, r.Limit))
	}
	beyond("p50", r.P50)
	beyond("p99", r.P99)
	if r.Rate.Target > 0 && r.Rate.Ratio < r.Rate.Target {
		all = append(all, fmt.Sprintf("rate %.2f < %.2f", r.Rate.Ratio, r.Rate.Target))
	}
	beyond("RSS", r.RSS)
	return all
}

// verdict says whether the targets were reached.
func (r *Row) verdict() string {
	if len(r.Unmet) == 0 {
		return "met"
	}
	return "not met: " + strings.Join(r.Unmet, ", ")
}

func (r *Report) writeText(out io.Writer) error {
	who := "A = subject, B = stock nats-server, M = subject with metering on"
	if r.Self {
		who = "A = B = stock nats-server (self-test)"
	}
	if _, err := fmt.Fprintf(out, "\n%s\n%s, %d CPUs (%s), %s; medians of %d rounds of %g s, alternating; scale %g\n\n",
		who, r.When.Format(time.RFC3339), r.CPUs, r.CPU, r.Go, r.Rounds, r.Seconds, r.Scale); err != nil {
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format, args...) } // Flush reports the error
	line("workload\tfigure\tA\tB\tA/B\tspread\ttarget\tM/B\trate A/B\tpeak RSS A/B\tp50 A/B\tp99 A/B\tloader CPU/s\t\n")
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Error != "" {
			line("%s\tfailed, see below\n", row.Title)
			continue
		}
		a, b := row.Subject.Median, row.Judge.Median
		name := "ns CPU/" + row.Unit
		switch row.Figure {
		case BytesPerUnit:
			name = "bytes/" + row.Unit
		case Harm:
			name = "p99, % of alone"
		case CPUPerUnit:
		}
		verdict := row.verdict()
		if r.Self {
			verdict = ""
		}
		line("%s\t%s\t%.0f\t%.0f\t%.2f\t%.2f-%.2f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Title, name,
			row.figure(a), row.figure(b), row.Ratio, row.Low, row.High, row.target(), shown(row.MeteredRatio),
			shown(row.Rate.Ratio), shown(row.RSS.Ratio), shown(row.P50.Ratio), shown(row.P99.Ratio),
			shown(ratio(a.LoaderSeconds, a.Seconds)), verdict)
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
	var text strings.Builder
	if err := r.writeText(&text); err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	return writeResults(dir, name, map[string][]byte{".txt": []byte(text.String()), ".json": append(data, '\n'), ".svg": r.chart()})
}

// writeResults writes the files of one table, by what their names end in.
func writeResults(dir, name string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return fmt.Errorf("make results folder: %w", err)
	}
	for ext, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name+ext), content, resultMode); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	return nil
}
