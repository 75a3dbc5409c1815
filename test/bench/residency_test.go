package main

import (
	"strings"
	"testing"
)

func TestResultsOfResidency(t *testing.T) {
	lines := strings.Split(string(residencyTable([]residencyRow{
		{Phase: "fits", Database: 1023, Peak: 1535},
		{Phase: "file too large", Database: 1024, Peak: 10},
		{Phase: "too much memory", Database: 10, Peak: 1536},
	})), "\n")
	if !strings.HasSuffix(lines[1], "met") || !strings.Contains(lines[2], "missed") || !strings.Contains(lines[3], "missed") {
		t.Errorf("table:\n%s", strings.Join(lines, "\n"))
	}
}
