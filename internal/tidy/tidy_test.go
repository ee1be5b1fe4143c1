package tidy_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	project          = "github.com/stoadb/stoa"
	fileLinesMax     = 500
	functionLinesMax = 70
)

// rooms says which rooms a room may import. A room's own sub-packages that are not in
// the table belong to it. A new room needs a line here and in docs/architecture.md.
var rooms = map[string][]string{
	"internal/invariant": {},
	"internal/codec":     {"internal/invariant"},
	"internal/vfs":       {"internal/invariant"},
	"internal/tidy":      {},
	"engine/span":        {"internal"},
	"engine/span/otlp":   {"engine/span", "internal"},
	"engine/column":      {"internal"},
	"wal":                {"internal"},
	"index":              {"engine/span", "internal"},
	"engine/segment":     {"engine/span", "engine/column", "index", "internal"},
	"compaction":         {"engine/segment", "engine/span", "internal"},
	"engine":             {"compaction", "engine/span", "engine/span/otlp", "engine/column", "engine/segment", "index", "wal", "internal"},
	"engine/enginetest":  {"engine/span", "engine/span/otlp", "internal"},
	"cluster":            {"cluster/raftstore", "engine", "engine/span", "engine/span/otlp", "engine/segment", "wal", "internal"},
	"cluster/raftstore":  {"wal", "internal"},
	"api":                {"engine/span", "engine/span/otlp", "internal"},
	"bench":              {"api", "cluster", "engine", "compaction", "index", "wal", "internal"},
	"cmd/stoa":           {"bench", "api", "cluster", "engine", "compaction", "index", "wal", "internal"},
}

// doors says through which rooms a third-party module comes in.
var doors = map[string][]string{
	"github.com/klauspost/compress":    {"internal/codec"},
	"github.com/zeebo/xxh3":            {"internal/codec"},
	"golang.org/x/sys":                 {"internal/vfs"},
	"github.com/RoaringBitmap/roaring": {"index"},
	"github.com/apache/arrow":          {"engine"},
	"github.com/hashicorp/raft":        {"cluster", "cluster/raftstore"},
	"github.com/hashicorp/go-hclog":    {"cluster"},
	"google.golang.org/grpc":           {"api", "bench"},
	"google.golang.org/protobuf":       {"api"},
	"google.golang.org/genproto":       {"api"},
	"go.opentelemetry.io/proto":        {"api"},
	"github.com/jaegertracing":         {"api"},
	"golang.org/x/time":                {"api"},
	"golang.org/x/net":                 {"api"},
	"github.com/spf13/cobra":           {"cmd/stoa"},
	"github.com/vbauerster/mpb":        {"cmd/stoa"},
	"github.com/prometheus":            {"cmd/stoa"},
	"github.com/KimMachineGun":         {"cmd/stoa"},
	"github.com/fatih/color":           {"cmd/stoa"},
	"github.com/mattn":                 {"cmd/stoa"},
	"pgregory.net/rapid":               {"engine/enginetest"}, // and every test
	"github.com/google/go-cmp":         {"engine/enginetest"}, // and every test
}

// pure rooms are handed their clock, their disk and their randomness.
var pure = []string{"wal", "engine", "compaction", "index"}

// source is one Go file of the project.
type source struct {
	name, dir string // relative to the root, with slashes
	content   []byte
	syntax    *ast.File
	test      bool
	generated bool
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// eachFile visits the project's files; other modules inside it are not the project.
func eachFile(t *testing.T, visit func(name string, content []byte)) {
	t.Helper()
	top := root(t)
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, inner := os.Stat(filepath.Join(name, "go.mod"))
			if name != top && (inner == nil || d.Name() == ".git" || d.Name() == "testdata" || d.Name() == "stoa-data") {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || d.Name() == ".git" { // a file in a worktree, and git's
			return nil
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(top, name)
		visit(filepath.ToSlash(relative), content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var fileSet = token.NewFileSet()

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	eachFile(t, func(name string, content []byte) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		syntax, err := parser.ParseFile(fileSet, name, content, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{
			name: name, dir: path.Dir(name), content: content, syntax: syntax,
			test:      strings.HasSuffix(name, "_test.go"),
			generated: strings.HasPrefix(name, "api/") && ast.IsGenerated(syntax),
		})
	})
	if len(all) < 20 {
		t.Fatalf("only %d Go files found", len(all))
	}
	return all
}

// under tells whether name is dir or below it.
func under(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// roomOf is the longest room that a package belongs to.
func roomOf(dir string) string {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := rooms[dir]; ok {
			return dir
		}
	}
	return ""
}

func importsOf(s source) []string {
	var paths []string
	for _, spec := range s.syntax.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

func TestImportsGoStrictlyDown(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue // a test may look at its room from above
		}
		room := roomOf(s.dir)
		if room == "" {
			t.Errorf("%s: package %s is not in the table of rooms", s.name, s.dir)
			continue
		}
		for _, p := range importsOf(s) {
			target, ours := strings.CutPrefix(p, project+"/")
			if !ours || under(target, room) && under(s.dir, room) && roomOf(target) == room {
				continue
			}
			if !mayImport(room, target) {
				t.Errorf("%s: %s may not import %s", s.name, room, target)
			}
		}
	}
}

func mayImport(room, target string) bool {
	targetRoom := roomOf(target)
	for _, allowed := range rooms[room] {
		if targetRoom == allowed || (under(target, allowed) && (allowed == "internal" || under(room, "cmd") || room == "bench")) {
			return true
		}
	}
	return false
}

func TestEachModuleHasOneDoor(t *testing.T) {
	for _, s := range sources(t) {
		for _, p := range importsOf(s) {
			first, _, _ := strings.Cut(p, "/")
			if !strings.Contains(first, ".") || under(p, project) || s.test || s.generated {
				continue
			}
			module := ""
			for m := range doors {
				if under(p, m) {
					module = m
				}
			}
			open := false
			for _, room := range doors[module] {
				open = open || roomOf(s.dir) == room
			}
			if !open {
				t.Errorf("%s: %s comes in through %v only", s.name, p, doors[module])
			}
		}
	}
}

func TestFilesAndFunctionsAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.generated {
			continue
		}
		if n := bytes.Count(s.content, []byte("\n")); n > fileLinesMax {
			t.Errorf("%s: %d lines, at most %d", s.name, n, fileLinesMax)
		}
		for _, d := range s.syntax.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			from, to := fileSet.Position(f.Pos()), fileSet.Position(f.End())
			if n := to.Line - from.Line + 1; n > functionLinesMax {
				t.Errorf("%s:%d: %s has %d lines, at most %d", s.name, from.Line, f.Name.Name, n, functionLinesMax)
			}
		}
	}
}

func TestPackagesIntroduceThemselves(t *testing.T) {
	comments, names := map[string]int{}, map[string]string{}
	for _, s := range sources(t) {
		if s.test || s.generated {
			continue
		}
		names[s.dir] = s.syntax.Name.Name
		if s.syntax.Doc != nil {
			comments[s.dir] += len(s.syntax.Doc.Text())
		}
		for _, bad := range []string{"util", "utils", "common", "types", "helpers", "manager", "base"} {
			if s.syntax.Name.Name == bad || path.Base(s.name) == bad+".go" {
				t.Errorf("%s: %q says nothing", s.name, bad)
			}
		}
	}
	for dir, name := range names {
		if comments[dir] < 80 {
			t.Errorf("%s: package %s does not introduce itself", dir, name)
		}
	}
}

// Wrong code stops in internal/invariant, wrong bytes are errors: nothing else panics.
// Rooms that must be repeatable ask nobody for the time and open no files.
func TestNoPanicNoClockNoDisk(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.generated {
			continue
		}
		isPure := false
		for _, room := range pure {
			isPure = isPure || under(s.dir, room)
		}
		for _, p := range importsOf(s) {
			if isPure && (p == "os" || p == "syscall" || p == "io/ioutil") {
				t.Errorf("%s: imports %s: go through internal/vfs", s.name, p)
			}
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			at := fileSet.Position(call.Pos())
			switch f := call.Fun.(type) {
			case *ast.Ident:
				if f.Name == "panic" && s.dir != "internal/invariant" {
					t.Errorf("%s:%d: panic outside internal/invariant", s.name, at.Line)
				}
			case *ast.SelectorExpr:
				x, ok := f.X.(*ast.Ident)
				if ok && isPure && x.Name == "time" && (f.Sel.Name == "Now" || f.Sel.Name == "Sleep" || f.Sel.Name == "Since") {
					t.Errorf("%s:%d: time.%s: be handed a clock", s.name, at.Line, f.Sel.Name)
				}
			}
			return true
		})
	}
}

// The project is complete without the machine it was made on, and holds no promises to
// itself.
func TestNoMachinePathsNoPostponedWork(t *testing.T) {
	machine := regexp.MustCompile(`(^|[\s"'` + "`" + `(=:])/(work|root|home|tmp)/[a-z]`)
	postponed := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	eachFile(t, func(name string, content []byte) {
		if bytes.IndexByte(content, 0) >= 0 {
			return // not text
		}
		for i, line := range bytes.Split(content, []byte("\n")) {
			if machine.Match(line) {
				t.Errorf("%s:%d: a path of some machine: %s", name, i+1, line)
			}
			if postponed.Match(line) {
				t.Errorf("%s:%d: postponed work belongs to an issue: %s", name, i+1, line)
			}
		}
	})
}
