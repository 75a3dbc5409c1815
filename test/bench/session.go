package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/coveymq/covey/test/bench/load"
	"github.com/coveymq/covey/test/conformance/proc"
)

// Sample is one server under one load for one time.
type Sample struct {
	Units         int64   `json:"units"`
	Published     int64   `json:"published"`
	Seconds       float64 `json:"seconds"`
	UnitsPerSec   float64 `json:"units_per_second"`
	CPUSeconds    float64 `json:"cpu_seconds"`
	CPUPerUnitNS  float64 `json:"cpu_per_unit_ns"`
	LoaderSeconds float64 `json:"loader_cpu_seconds"`
	RSSPeak       int64   `json:"rss_peak_bytes"`
	BytesPerUnit  float64 `json:"rss_bytes_per_unit"`
	Harm          float64 `json:"harm,omitempty"`
	Beside        float64 `json:"connects_beside_per_second,omitempty"` // of a storm
	Failed        float64 `json:"failed_beside_per_second,omitempty"`
	P50us         float64 `json:"latency_p50_us"`
	P99us         float64 `json:"latency_p99_us"`
	P999us        float64 `json:"latency_p999_us"`
}

// The servers under measurement. Metered is the subject once more, counting for
// a control plane.
const (
	subject = iota
	judge
	metered
)

// session holds what all samples of a run share.
type session struct {
	options options
	paths   [2]string // subject, judge
	dir     string
	tls     *tls.Config
	config  [2]string // subject, judge
	secure  string    // the tls block of both
	trust   *trust    // made when a workload needs it
	control *control  // likewise
}

// baseConfig lets the large workloads in and changes nothing else.
const baseConfig = "max_connections: 100000\n"

func newSession(ctx context.Context, o options) (*session, error) {
	judge, err := proc.Judge(ctx, o.judge)
	if err != nil {
		return nil, err
	}
	s := &session{options: o, paths: [2]string{judge, judge}}
	if o.subject != "" {
		if s.paths[0], err = filepath.Abs(o.subject); err != nil {
			return nil, err
		}
	}
	if s.config, err = configs(o); err != nil {
		return nil, err
	}
	if err := raiseFileLimit(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "covey-bench-"); err != nil {
		return nil, err
	}
	secure, client, err := proc.LoopbackTLS(s.dir, time.Now())
	if err != nil {
		s.close()
		return nil, err
	}
	s.tls, s.secure = client, "tls { "+secure+", timeout: 30 }\n"
	return s, nil
}

// configs returns the configuration of the subject and of the judge.
func configs(o options) ([2]string, error) {
	var text [2]string
	for i, file := range []string{o.config, o.subjectConfig} {
		if file == "" {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return text, fmt.Errorf("read extra configuration: %w", err)
		}
		text[i] = string(data) + "\n"
	}
	both, subject := baseConfig+text[0], text[1]
	return [2]string{both + subject, both}, nil
}

func (s *session) close() {
	if s.control != nil {
		s.control.close()
	}
	_ = os.RemoveAll(s.dir) //nolint:gosec // a folder that newSession made
}

func (s *session) scaled(n int) int { return scaled(n, s.options.scale) }

// tenants returns an operator with so many tenants at least, and users for the
// first of them.
func (s *session) tenants(n, users int) (*trust, error) {
	if s.trust == nil {
		t, err := newTrust()
		if err != nil {
			return nil, err
		}
		s.trust = t
	}
	return s.trust, s.trust.grow(n, users)
}

// sides returns which servers a workload runs on.
func (s *session) sides(w Workload) []int {
	if s.options.metered && !w.Unmetered {
		return []int{subject, judge, metered}
	}
	return []int{subject, judge}
}

// setup returns what a server is given for a workload, and its binary.
func (s *session) setup(ctx context.Context, side int, w Workload) (given *setup, path string, err error) {
	path = s.paths[subject]
	if side == metered {
		if s.control == nil {
			if s.control, err = newControl(ctx, filepath.Dir(path), s.dir); err != nil {
				return nil, "", err
			}
		}
		return &setup{config: s.control.config, users: []*load.User{s.control.user}}, path, nil
	}
	of := w.Setup
	switch {
	case side == judge && w.Against != nil:
		of = w.Against
	case side == judge:
		path = s.paths[judge]
	}
	if of == nil {
		return &setup{}, path, nil
	}
	given, err = of(s)
	return given, path, err
}

// raiseFileLimit takes all the descriptors it may: the idle workload needs
// one for each connection, in the loader as in the server it starts.
func raiseFileLimit() error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("read file limit: %w", err)
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return fmt.Errorf("raise file limit: %w", err)
	}
	return nil
}

// compare samples both servers in turn.
func (s *session) compare(ctx context.Context, w Workload, out io.Writer) (Row, error) {
	row := newRow(w)
	for round := range s.options.rounds {
		for _, i := range s.sides(w) {
			sample, err := s.sample(ctx, i, w)
			if err != nil {
				return row, fmt.Errorf("server %s, round %d: %w", sideNames()[i], round+1, err)
			}
			row.add(i, sample)
			if _, err := fmt.Fprintf(out, "%-14s %s %d: %s\n", w.Name, sideNames()[i], round+1, sample.line(w)); err != nil {
				return row, err
			}
		}
	}
	row.summarise()
	return row, nil
}

func (s Sample) line(w Workload) string {
	text := fmt.Sprintf("%9.0f %s/s  %8.0f ns CPU each", s.UnitsPerSec, w.Unit, s.CPUPerUnitNS)
	if w.Figure == Harm {
		text += fmt.Sprintf("  p99 %.0f %% of alone", s.Harm)
	}
	if s.Beside > 0 {
		text += fmt.Sprintf("  beside %.0f connects/s, %.0f failed/s", s.Beside, s.Failed)
	}
	if w.Figure == BytesPerUnit {
		text += fmt.Sprintf("  %7.0f bytes each", s.BytesPerUnit)
	}
	return text + fmt.Sprintf("  peak %4d MB  p50 %.0f us  p99 %.0f us", s.RSSPeak>>20, s.P50us, s.P99us)
}

func (s *session) sample(ctx context.Context, side int, w Workload) (Sample, error) {
	given, path, err := s.setup(ctx, side, w)
	if err != nil {
		return Sample{}, err
	}
	o := proc.Options{Path: path, Config: given.config, Dir: s.dir}
	if path == s.paths[subject] {
		o.Config += s.config[subject]
	} else {
		o.Config += s.config[judge]
	}
	if w.TLS {
		o.Config += s.secure
	}
	far, err := startFar(ctx, w, &o)
	if err != nil {
		return Sample{}, err
	}
	if far != nil {
		defer far.Stop()
	}
	server, err := proc.Start(ctx, o)
	if err != nil {
		return Sample{}, err
	}
	defer server.Stop()
	b := &bed{
		server: server, far: far, dialer: load.Dialer{Addr: server.Addr, Users: given.users},
		duration: s.options.duration, scale: s.options.scale, setup: given,
	}
	if w.TLS {
		b.dialer.TLS = s.tls
	}
	defer b.close()
	if err := b.ready(ctx); err != nil {
		return Sample{}, err
	}
	result, err := w.Run(ctx, b)
	if err != nil {
		return Sample{}, fmt.Errorf("%w\nserver log:\n%s", err, server.Log())
	}
	return b.measure(w, result)
}

// measure reads what the server used since ready.
func (b *bed) measure(w Workload, r load.Result) (Sample, error) {
	cpu, err := b.cpu()
	if err != nil {
		return Sample{}, err
	}
	loader, err := loaderCPU()
	if err != nil {
		return Sample{}, err
	}
	mem, err := b.memory()
	if err != nil {
		return Sample{}, err
	}
	units := r.Delivered
	if w.Unit == "publish" {
		units = r.Published
	}
	if units == 0 || r.Elapsed == 0 {
		return Sample{}, fmt.Errorf("the load did nothing")
	}
	s := Sample{
		Units: units, Published: r.Published,
		Seconds: r.Elapsed.Seconds(), UnitsPerSec: float64(units) / r.Elapsed.Seconds(),
		CPUSeconds:    (cpu - b.cpuBefore).Seconds(),
		CPUPerUnitNS:  float64(cpu-b.cpuBefore) / float64(units),
		LoaderSeconds: (loader - b.loaderBefore).Seconds(),
		RSSPeak:       mem.Peak,
		BytesPerUnit:  float64(mem.RSS-b.memBefore) / float64(units),
	}
	if storm := r.Beside; storm != nil && storm.Elapsed > 0 {
		s.Beside, s.Failed = float64(storm.Connects)/storm.Elapsed.Seconds(), float64(storm.Failed)/storm.Elapsed.Seconds()
	}
	if h := r.Latency; h != nil {
		us := func(q float64) float64 { return float64(h.Quantile(q)) / float64(time.Microsecond) }
		s.P50us, s.P99us, s.P999us = us(0.5), us(0.99), us(0.999)
		if alone := r.Alone; alone != nil {
			s.Harm = 100 * ratio(float64(h.Quantile(0.99)), float64(alone.Quantile(0.99)))
		}
	}
	return s, nil
}

// loaderCPU is the processor time of this process, which the table shows so
// that its reader sees what the load itself cost.
func loaderCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read own processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
