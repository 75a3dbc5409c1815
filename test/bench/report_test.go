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
	all, err := choose(options{tls: true})
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
	plain, err := choose(options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range plain {
		if w.TLS {
			t.Errorf("%s runs without -tls", w.Name)
		}
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
