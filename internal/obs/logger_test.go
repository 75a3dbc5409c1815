package obs_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/coveymq/covey/internal/obs"
)

func TestLoggerWritesFromItsLevelUp(t *testing.T) {
	var out bytes.Buffer
	log, err := obs.NewLogger(&out, obs.LogOptions{Level: "warn", Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("left out")
	log.Warn("kept", "account", "A")
	var record map[string]any
	if err := json.Unmarshal(out.Bytes(), &record); err != nil {
		t.Fatalf("log is not one JSON record: %v: %s", err, out.String())
	}
	if record["msg"] != "kept" || record["account"] != "A" {
		t.Errorf("record = %v", record)
	}
}

func TestUnknownOptionsAreRefused(t *testing.T) {
	for _, o := range []obs.LogOptions{{Level: "loud"}, {Format: "xml"}} {
		if _, err := obs.NewLogger(&bytes.Buffer{}, o); err == nil {
			t.Errorf("options %+v were taken", o)
		}
	}
}
