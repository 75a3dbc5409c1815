package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	f := func(want float64, values ...float64) {
		t.Helper()
		if got := median(values); got != want {
			t.Errorf("median = %v, want %v", got, want)
		}
	}
	f(0)
	f(3, 3)
	f(2, 3, 2, 1)
	f(2.5, 4, 1, 3, 2)
}

func TestRowComparesItsOwnFigure(t *testing.T) {
	r := newRow(Workload{Name: "x", Figure: BytesPerUnit, Target: 0.5})
	r.add(0, Sample{BytesPerUnit: 40, CPUPerUnitNS: 9})
	r.add(1, Sample{BytesPerUnit: 100, CPUPerUnitNS: 1})
	r.summarise()
	r.add(0, Sample{BytesPerUnit: 30})
	r.add(1, Sample{BytesPerUnit: 100})
	r.add(0, Sample{BytesPerUnit: 60})
	r.add(1, Sample{BytesPerUnit: 120})
	r.summarise()
	if r.Low != 0.3 || r.High != 0.5 {
		t.Errorf("spread = %v-%v, want 0.3-0.5", r.Low, r.High)
	}
	if r.Ratio != 0.4 || r.verdict() != "met" {
		t.Errorf("ratio = %v, %s", r.Ratio, r.verdict())
	}
}

func TestChoose(t *testing.T) {
	all, err := choose(options{})
	if err != nil || len(all) != len(Workloads()) {
		t.Errorf("choose all = %d, %v", len(all), err)
	}
	some, err := choose(options{only: []string{"fan-*", "one-16"}})
	if err != nil || len(some) != 4 {
		t.Errorf("choose some = %d, %v", len(some), err)
	}
	if _, err := choose(options{only: []string{"nothing"}}); err == nil {
		t.Error("an unknown workload passes")
	}
	if _, err := choose(options{sections: []string{"nothing"}}); err == nil {
		t.Error("an unknown section passes")
	}
	secure, err := choose(options{sections: []string{"tls", "tenants"}, only: []string{"tls-*", "update"}})
	if err != nil || len(secure) != 3 {
		t.Errorf("choose of sections = %d, %v", len(secure), err)
	}
	if _, err := choose(options{sections: []string{"tls"}, only: []string{"update"}}); err == nil {
		t.Error("a workload of another section passes")
	}
	for _, w := range Workloads() {
		if w.Section == "" || w.Title == "" || w.Unit == "" || w.Figure == "" || w.Target == 0 && w.Limit == 0 || w.Run == nil {
			t.Errorf("%s lacks something: %+v", w.Name, w)
		}
	}
}

// Every target counts: the row's ratio, with metering too, the figure by itself,
// latencies, rate and memory.
func TestVerdict(t *testing.T) {
	w := Workload{Name: "x", Figure: BytesPerUnit, Target: 0.5, Limit: 45, P50: 0.6, P99: 1, Rate: 1.5}
	good := Sample{BytesPerUnit: 40, P50us: 6, P99us: 10, UnitsPerSec: 15, RSSPeak: 10}
	theirs := Sample{BytesPerUnit: 100, P50us: 10, P99us: 10, UnitsPerSec: 10, RSSPeak: 10}
	verdictOf := func(ours, counting Sample) string {
		r := newRow(w)
		r.add(subject, ours)
		r.add(judge, theirs)
		r.add(metered, counting)
		r.summarise()
		return r.verdict()
	}
	if v := verdictOf(good, good); v != "met" {
		t.Errorf("verdict = %q", v)
	}
	for name, change := range map[string]func(*Sample){
		"p50 0.70 > 0.60": func(s *Sample) { s.P50us = 7 }, "p99 1.10 > 1.00": func(s *Sample) { s.P99us = 11 },
		"rate 1.40 < 1.50": func(s *Sample) { s.UnitsPerSec = 14 }, "RSS 1.10 > 1.00": func(s *Sample) { s.RSSPeak = 11 },
		"A 46 > 45": func(s *Sample) { s.BytesPerUnit = 46 }, "ratio 0.51 > 0.50, A 51 > 45": func(s *Sample) { s.BytesPerUnit = 51 },
	} {
		bad := good
		change(&bad)
		if v := verdictOf(bad, good); v != "not met: "+name {
			t.Errorf("verdict = %q, want %q", v, name)
		}
	}
	bad := good
	bad.BytesPerUnit = 60
	if v := verdictOf(good, bad); v != "not met: metered 0.60 > 0.50" {
		t.Errorf("verdict = %q", v)
	}
}

func TestBatchesHoldWhatTheySay(t *testing.T) {
	for _, s := range []shape{
		{fanout: 1, size: 16, batch: 3},
		{fanout: 0, size: 128, batch: 2},
		{fanout: 1, size: 128, batch: 10, subjects: 50},
	} {
		for _, b := range s.batches("bench.0") {
			if got := bytes.Count(b.Bytes, []byte("PUB ")); got != b.Count || b.Count != s.batch {
				t.Errorf("%+v: %d publishes, says %d", s, got, b.Count)
			}
			if at := b.Bytes[b.StampAt:]; !bytes.HasPrefix(at, bytes.Repeat([]byte("x"), s.size)) {
				t.Errorf("%+v: the stamp would not hit the payload", s)
			}
		}
	}
}

func TestSavedResultsAreWellFormed(t *testing.T) {
	r := newReport(options{rounds: 1, duration: time.Second, scale: 1})
	row := newRow(Workload{Name: "x", Title: "a < b & c", Unit: "delivery", Figure: CPUPerUnit, Target: 0.5})
	row.add(0, Sample{CPUPerUnitNS: 1})
	row.add(1, Sample{CPUPerUnitNS: 2})
	row.summarise()
	r.Rows = append(r.Rows, row, Row{Name: "y", Title: "broken", Error: "no"})
	if err := r.failures(); !errors.Is(err, errWorkload) {
		t.Errorf("failures = %v, want %v", err, errWorkload)
	}
	dir := t.TempDir()
	if err := r.save(dir, "x"); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var back Report
	if err := json.Unmarshal(read("x.json"), &back); err != nil || back.Rows[0].Ratio != 0.5 {
		t.Errorf("json: %v, %+v", err, back)
	}
	if text := string(read("x.txt")); !strings.Contains(text, "0.50") {
		t.Errorf("text: %s", text)
	}
	d := xml.NewDecoder(bytes.NewReader(read("x.svg")))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("chart: %v", err)
		}
	}
}
