// Command bench compares what a broker costs with what stock nats-server
// costs, under the same load, with the same configuration file, in the same
// run. Each sample is a fresh server process; samples alternate A B A B so
// that whatever else the machine does falls on both. The primary figure is the
// server's own processor time for each delivery.
//
//	go run ./test/bench -subject PATH [-judge PATH] [-sections NAME,...] [-only NAME,...] [-rounds N] [-seconds S] [-accounts N]
//
// It writes a table, JSON and a chart under test/bench/results. Two sections are of
// another kind, with results of their own: controlplane is three control planes under
// load, residency is one that holds many accounts, and runs only when it is named.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/coveymq/covey/test/conformance/proc"
)

const (
	roundsMax  = 100
	secondsMax = 300
)

// options are what the command line says.
type options struct {
	subject, judge string
	only           []string
	rounds         int
	duration       time.Duration
	scale          float64
	sections       []string
	metered        bool
	config         string // file, for both servers
	subjectConfig  string // file, for the subject only
	out            string
	name           string
	accounts       int  // to make for the sections controlplane and residency
	planes         bool // run the first of them
	residency      bool // run the second
	brokers        bool // and any of the others
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := start(ctx, os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// start does what the command line says, or is a child that one of the rows needs.
func start(ctx context.Context, args []string) error {
	if len(args) == 1 && children()[args[0]] != nil {
		return children()[args[0]](ctx, json.NewDecoder(os.Stdin), os.Stdout)
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	return run(ctx, o, os.Stdout)
}

func parse(args []string) (options, error) {
	var o options
	var only, sections string
	var seconds float64
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.StringVar(&o.subject, "subject", "", "path of the broker under test; empty compares the judge with itself")
	fs.StringVar(&o.judge, "judge", "", "path of stock nats-server (else $"+proc.JudgeEnv+", else built)")
	fs.StringVar(&only, "only", "", "workloads to run, by name or prefix*, separated by commas; empty means all")
	fs.IntVar(&o.rounds, "rounds", 5, "samples of each server for each workload")
	fs.Float64Var(&seconds, "seconds", 2, "length of one sample")
	fs.Float64Var(&o.scale, "scale", 1, "factor on the number of connections and subscriptions of the large workloads")
	fs.StringVar(&sections, "sections", "", "sections to run, separated by commas, of "+strings.Join(append(sectionNames(), planesSection, residencySection), ", ")+"; empty means all but the last")
	fs.BoolVar(&o.metered, "metered", true, "run the subject once more with metering on; needs covey and covey-controlplane beside it")
	fs.StringVar(&o.config, "config", "", "file whose text is added to the configuration of both servers")
	fs.StringVar(&o.subjectConfig, "subject-config", "", "file whose text is added to the configuration of the subject only (metering, for one)")
	fs.StringVar(&o.out, "out", "test/bench/results", "folder of the results; empty writes none")
	fs.IntVar(&o.accounts, "accounts", 5000, "accounts to make, under each condition of the section "+planesSection+" and for "+residencySection)
	fs.StringVar(&o.name, "name", "", "base name of the result files; empty means latest if all workloads run, else partial")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.accounts < 1 || o.rounds < 1 || o.rounds > roundsMax || seconds <= 0 || seconds > secondsMax || o.scale <= 0 || o.scale > 1 {
		return o, errors.New("rounds, seconds, scale or accounts out of range")
	}
	o.duration = time.Duration(seconds * float64(time.Second))
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	if sections != "" {
		o.sections = strings.Split(sections, ",")
	}
	o.planes = only == "" && (sections == "" || slices.Contains(o.sections, planesSection))
	o.residency = slices.Contains(o.sections, residencySection)
	o.sections = slices.DeleteFunc(o.sections, func(name string) bool { return name == planesSection || name == residencySection })
	o.brokers = sections == "" || len(o.sections) > 0
	if o.name == "" {
		o.name = "latest"
		if only != "" || sections != "" {
			o.name = "partial"
		}
	}
	o.metered = o.metered && o.subject != ""
	return o, nil
}

func run(ctx context.Context, o options, out io.Writer) error {
	var all []error
	for _, part := range []struct {
		wanted bool
		run    func(context.Context, options, io.Writer) error
	}{{o.brokers, compareBrokers}, {o.planes, loadPlanes}, {o.residency, measureResidency}} {
		if part.wanted {
			all = append(all, part.run(ctx, o, out))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(all...)
}

func compareBrokers(ctx context.Context, o options, out io.Writer) error {
	workloads, err := choose(o)
	if err != nil {
		return err
	}
	s, err := newSession(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	report := newReport(o)
	for _, w := range workloads {
		row, err := s.compare(ctx, w, out)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			row.Error = err.Error()
		}
		report.Rows = append(report.Rows, row)
	}
	if err := report.writeText(out); err != nil {
		return err
	}
	if o.out != "" {
		err = report.save(o.out, o.name)
	}
	return errors.Join(err, report.failures())
}

// choose returns the workloads that the options name, in their usual order.
func choose(o options) ([]Workload, error) {
	var chosen []Workload
	used := map[string]bool{}
	for _, section := range o.sections {
		if !slices.Contains(sectionNames(), section) {
			return nil, fmt.Errorf("no section named %q; there are %s", section, strings.Join(sectionNames(), ", "))
		}
	}
	for _, w := range Workloads() {
		if len(o.sections) > 0 && !slices.Contains(o.sections, w.Section) {
			continue
		}
		if len(o.only) == 0 {
			chosen = append(chosen, w)
			continue
		}
		for _, pattern := range o.only {
			prefix, wild := strings.CutSuffix(pattern, "*")
			if w.Name == pattern || wild && strings.HasPrefix(w.Name, prefix) {
				chosen = append(chosen, w)
				used[pattern] = true
				break
			}
		}
	}
	for _, pattern := range o.only {
		if !used[pattern] {
			return nil, fmt.Errorf("no workload named %q in the sections; there are:\n%s", pattern, names())
		}
	}
	return chosen, nil
}

// sectionNames returns the sections, in the order of the table.
func sectionNames() []string {
	var all []string
	for _, w := range Workloads() {
		if !slices.Contains(all, w.Section) {
			all = append(all, w.Section)
		}
	}
	return all
}

func names() string {
	var b strings.Builder
	for _, w := range Workloads() {
		fmt.Fprintf(&b, "  %-10s %-16s %s\n", w.Section, w.Name, w.Title)
	}
	return b.String()
}
