package controlplane_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Every invariant has its row in docs/invariants.md, and every test that a row
// names is there.
func TestEveryInvariantNamesItsTests(t *testing.T) {
	text, err := os.ReadFile("../docs/invariants.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	made := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, m := range made.FindAllStringSubmatch(string(code), -1) {
			there[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`")
	for _, m := range named.FindAllStringSubmatch(string(text), -1) {
		if !there[m[1]] {
			t.Errorf("there is no test %s", m[1])
		}
	}
	for n := 1; n <= 20; n++ {
		row := regexp.MustCompile(`(?m)^\| ` + strconv.Itoa(n) + ` \| .*$`).FindString(string(text))
		if !named.MatchString(row) && !strings.Contains(row, "not yet: ") {
			t.Errorf("invariant %d has neither a test nor a reason: %q", n, row)
		}
	}
}
