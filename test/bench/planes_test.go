package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestResultsOfControlPlanes(t *testing.T) {
	rows := []planesRow{
		{Title: "quick", Accounts: 10, Rate: 5, Ack: planesTimes{P50: 99, P99: 999}},
		{Title: "slow <&>", Accounts: 10, Rate: 5, Ack: planesTimes{P50: 101, P99: 50_000}},
	}
	lines := strings.Split(string(planesTable(rows)), "\n")
	if !strings.HasSuffix(lines[1], "met") || !strings.Contains(lines[2], "missed") {
		t.Errorf("table:\n%s", strings.Join(lines, "\n"))
	}
	d := xml.NewDecoder(bytes.NewReader(planesChart(rows)))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestSectionsOfBothKinds(t *testing.T) {
	for args, want := range map[string][2]bool{"": {true, true}, "-sections=controlplane": {false, true}, "-sections=tls": {true, false}, "-sections=tls,controlplane": {true, true}, "-only=x": {true, false}} {
		o, err := parse(strings.Fields(args))
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{o.brokers, o.planes}; got != want {
			t.Errorf("%q: brokers, planes %v, want %v", args, got, want)
		}
	}
}
