package controlplane_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// testsOf finds the tests of the whole module, by what tests are to Go: their name
// begins with Test and they take a *testing.T.
func testsOf(t *testing.T, root string) map[string]bool {
	t.Helper()
	there := map[string]bool{}
	made := regexp.MustCompile(`(?m)^func (Test[A-Z]\w*)\(\w+ \*testing\.T\)`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "bin" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
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
	return there
}

// Each of the twenty invariants has one row in docs/invariants.md, every test that a
// row names is there, and a row without a test is one that is known to wait.
func TestEveryInvariantNamesItsTests(t *testing.T) {
	text, err := os.ReadFile("../docs/invariants.md")
	if err != nil {
		t.Fatal(err)
	}
	const invariants = 20
	// waiting are those of which a part, or all, is not built: by what it waits for.
	waiting := map[int]string{14: "rating", 20: "Terraform"}
	there := testsOf(t, "..")
	named := regexp.MustCompile("`(Test\\w+)`")
	for _, m := range named.FindAllStringSubmatch(string(text), -1) {
		if !there[m[1]] {
			t.Errorf("there is no test %s", m[1])
		}
	}
	var numbers []int
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \| (.*) \|$`).FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
		_, why, waits := strings.Cut(row[3], "not yet: ")
		what, known := waiting[n]
		if waits != known || !strings.Contains(why, what) {
			t.Errorf("invariant %d waits for %q, and should for %q", n, why, what)
		}
		if !named.MatchString(row[3]) && !waits {
			t.Errorf("invariant %d has neither a test nor a reason: %q", n, row[0])
		}
	}
	var want []int
	for n := 1; n <= invariants; n++ {
		want = append(want, n)
	}
	if !slices.Equal(numbers, want) {
		t.Errorf("the rows are those of %v", numbers)
	}
}
