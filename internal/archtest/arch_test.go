package archtest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pkg is what `go list` tells of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// listOurs lists our packages with everything that they pull in, tests left
// out. It works without compiling.
func listOurs(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,Deps", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		all = append(all, p)
	}
}

// below reports whether path is folder, or in it. A folder without a dot in its
// first element is ours.
func below(path, folder string) bool {
	if first, _, _ := strings.Cut(folder, "/"); !strings.Contains(first, ".") {
		folder = strings.TrimSuffix(module+"/"+folder, "/")
	}
	return path == folder || strings.HasPrefix(path, folder+"/")
}

func TestArrows(t *testing.T) {
	all := listOurs(t)
	for _, p := range all {
		if below(p.ImportPath, "test") {
			continue // tests of several processes may import anything
		}
		for _, a := range forbidden {
			for _, dep := range violations(p, a) {
				t.Errorf("%s depends on %s: %s", p.ImportPath, dep, a.reason)
			}
		}
	}
	for _, want := range mustExist {
		if !slices.ContainsFunc(all, func(p pkg) bool { return below(p.ImportPath, want) }) {
			t.Errorf("package %s is named by the rules and does not exist", want)
		}
	}
}

func violations(p pkg, a arrow) []string {
	if !below(p.ImportPath, a.from) {
		return nil
	}
	var found []string
	for _, dep := range p.Deps {
		// A rule about a folder inside another is about what leaves it.
		if !below(dep, a.to) || below(dep, a.from) && a.from != "" {
			continue
		}
		if !slices.ContainsFunc(a.except, func(e string) bool { return below(dep, e) }) {
			found = append(found, dep)
		}
	}
	return found
}

func TestArrowsAreFound(t *testing.T) {
	a := arrow{from: "dataplane", to: "go.etcd.io/etcd", except: []string{"go.etcd.io/etcd/api"}}
	for _, tc := range []struct {
		from, dep string
		want      int
	}{
		{"dataplane/internal/wire", "go.etcd.io/etcd/client/v3", 1},
		{"dataplane", "go.etcd.io/etcd/api/v3", 0},
		{"controlplane", "go.etcd.io/etcd/client/v3", 0},
		{"dataplanes", "go.etcd.io/etcd/client/v3", 0},
	} {
		p := pkg{ImportPath: module + "/" + tc.from, Deps: []string{"fmt", tc.dep}}
		if got := violations(p, a); len(got) != tc.want {
			t.Errorf("%s -> %s: %v, want %d", tc.from, tc.dep, got, tc.want)
		}
	}
}

func TestPackagesAreInKnownFolders(t *testing.T) {
	for _, p := range listOurs(t) {
		folder, _, _ := strings.Cut(strings.TrimPrefix(p.ImportPath, module+"/"), "/")
		if _, known := folders[folder]; !known {
			t.Errorf("%s: folder %s is not in the design", p.ImportPath, folder)
		}
	}
}

// source is one parsed file of ours.
type source struct {
	path      string // below the module's root, with slashes
	file      *ast.File
	fset      *token.FileSet
	lines     int
	test      bool
	generated bool
}

func parseAll(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			skipped := name == "testdata" || name == "bin" || name == "dist" || name == "node_modules" || path == filepath.Join(root, "tools")
			if skipped || len(name) > 2 && name[0] == '.' {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all = append(all, source{
			path: filepath.ToSlash(rel), file: f, fset: fset, lines: fset.File(f.FileStart).LineCount(),
			test: strings.HasSuffix(name, "_test.go"), generated: ast.IsGenerated(f),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func excepted(list []exception, where string) bool {
	return slices.ContainsFunc(list, func(e exception) bool { return e.where == where })
}

func TestGoroutinesHaveAnOwner(t *testing.T) {
	for _, s := range parseAll(t) {
		if s.generated || excepted(bareGoAllowed, s.path) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if stmt, bare := n.(*ast.GoStmt); bare {
				t.Errorf("%s: a bare go statement; use sync.WaitGroup.Go or internal/lifecycle", s.fset.Position(stmt.Pos()))
			}
			return true
		})
	}
}

func TestSizes(t *testing.T) {
	for _, s := range parseAll(t) {
		if s.generated {
			continue
		}
		limit := fileLinesMax
		if s.test {
			limit = testFileLinesMax
		}
		if s.lines > limit && !excepted(largeFiles, s.path) {
			t.Errorf("%s has %d lines, more than %d: split it by concern", s.path, s.lines, limit)
		}
		if s.test {
			continue // a test is a script, as long as its story
		}
		for _, decl := range s.file.Decls {
			f, isFunc := decl.(*ast.FuncDecl)
			if !isFunc || excepted(longFuncs, s.path+":"+f.Name.Name) {
				continue
			}
			lines := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1
			if lines > funcLinesMax {
				t.Errorf("%s:%s has %d lines, more than %d", s.path, f.Name.Name, lines, funcLinesMax)
			}
		}
	}
}

func TestMainsAreThin(t *testing.T) {
	const mainLinesMax = 80
	for _, s := range parseAll(t) {
		if strings.HasPrefix(s.path, "cmd/") && s.file.Name.Name == "main" && !s.test && s.lines > mainLinesMax {
			t.Errorf("%s has %d lines, more than %d: a main is flags, configuration, Run", s.path, s.lines, mainLinesMax)
		}
	}
}

func TestExceptionsAreStillNeeded(t *testing.T) {
	paths := make(map[string]bool)
	for _, s := range parseAll(t) {
		paths[s.path] = true
	}
	for _, e := range slices.Concat(bareGoAllowed, largeFiles, longFuncs) {
		path, _, _ := strings.Cut(e.where, ":")
		if !paths[path] {
			t.Errorf("exception for %s: there is no such file", e.where)
		}
		if e.reason == "" {
			t.Errorf("exception for %s has no reason", e.where)
		}
	}
}
