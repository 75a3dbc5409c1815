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

func TestSectionsOfAllKinds(t *testing.T) {
	for args, want := range map[string][3]bool{
		"": {true, true, false}, "-sections=controlplane": {false, true, false}, "-sections=tls": {true, false, false}, "-sections=tls,controlplane": {true, true, false},
		"-only=x": {true, false, false}, "-sections=residency": {false, false, true}, "-sections=residency,tls": {true, false, true},
	} {
		o, err := parse(strings.Fields(args))
		if err != nil {
			t.Fatal(err)
		}
		if got := [3]bool{o.brokers, o.planes, o.residency}; got != want {
			t.Errorf("%q: brokers, planes, residency %v, want %v", args, got, want)
		}
	}
}
