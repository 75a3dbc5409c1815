package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/config"
)

// Each file under testdata/bad ends with comments that say which problems it
// has, in order and without the file's name; those under testdata/good have none.
func TestBadFilesAreRefusedWithEveryProblemAndItsPlace(t *testing.T) {
	for _, path := range fixtures(t, "bad") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, err := config.Load(path)
			var got config.Problems
			if !errors.As(err, &got) {
				t.Fatalf("Load = %v", err)
			}
			want := expectations(t, path)
			for i := range max(len(want), len(got)) {
				w, g := "(none)", "(none)"
				if i < len(want) {
					w = want[i]
				}
				if i < len(got) {
					g = strings.TrimPrefix(got[i].Error(), path+":")
				}
				if g != w {
					t.Errorf("problem %d\ngot  %s\nwant %s", i+1, g, w)
				}
			}
		})
	}
}

func TestGoodFilesAreAccepted(t *testing.T) {
	for _, path := range fixtures(t, "good") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			if _, err := config.Load(path); err != nil {
				t.Error(err)
			}
		})
	}
}

func fixtures(t *testing.T, kind string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join("testdata", kind, "*.conf"))
	if err != nil || len(all) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	return all
}

func expectations(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(text)) {
		if w, ok := strings.CutPrefix(strings.TrimSpace(line), "#! "); ok {
			want = append(want, w)
		}
	}
	return want
}
