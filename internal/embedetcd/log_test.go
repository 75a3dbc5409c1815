package embedetcd

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unrelated is what etcd says of a machine that is busy, and of its early end.
var unrelated = regexp.MustCompile(`slow|too long|overload|heartbeat|cancelled`)

func TestAFirstStartWarnsOfNothing(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := Start(t.Context(), Config{Dir: filepath.Join(t.TempDir(), "etcd"), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client().Put(t.Context(), "k", "v"); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(out.String()) {
		if !unrelated.MatchString(line) {
			t.Error(line)
		}
	}
}
