package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stoadb/stoa/bench"
	"github.com/stoadb/stoa/cluster"
)

// The commands that look into a store, as a person uses them.

// printedEpoch is the epoch record of every folder of four shards.
const printedEpoch = `       0      8  magic "STOAEPCH"
                 53 54 4f 41
       8      4  epoch record, version 1
                 01 00 00 00
      12      4  4 shards
                 04 00 00 00
      16     27  traces are placed by "xxh3-64(tenant,0,trace-id)"
                 1a 78 78 68
      43      4  CRC-32C of everything before: dfb1aad4
                 d4 aa b1 df
`

// TestInspectPrintsEveryKindOfFile, while a server holds the folder too.
func TestInspectPrintsEveryKindOfFile(t *testing.T) {
	folder := t.TempDir()
	stopServer(t, startServer(t, folder, "--shards=4"))
	wants(t, 0, nil, "import", "--data", folder, fixture(t, "zipkin-fixtures"))
	server := startServer(t, folder)
	if r := wants(t, 0, nil, "inspect", filepath.Join(folder, "epoch"), "--hex", "4"); r.out != printedEpoch {
		t.Errorf("the epoch record prints as\n%s", r.out)
	}
	wants(t, 0, []string{`import ledger, version 1`, `file [0-9a-f]{32}: 1 records stored`}, "inspect", filepath.Join(folder, "imports"))
	segments, err := filepath.Glob(filepath.Join(folder, "shard-*", "*.seg"))
	if err != nil || len(segments) < 2 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	wants(t, 0, []string{`manifest version 1`, `segment 0: name "0+1\.seg"`, `  rows \d+`}, "inspect", filepath.Join(filepath.Dir(segments[0]), "MANIFEST"))
	largest := slices.MaxFunc(segments, func(a, b string) int { return int(fileBytes(t, a) - fileBytes(t, b)) })
	r := wants(t, 0, []string{
		`^ +0 +16  header, version 2\nrow group 0: rows 0 to \d+, starts`, `column 0, start: \d+ values, mini-blocks`,
		`mini-block 0: values 0 to \d+, tag \d+ \(.*\), base \d+, \d+ bytes at \d+`, `column \d+, span "[^"]+" string: \d+ values, `,
		`templates: \d+ of spans, \d+ of events, \d+ of links`, `terms: \d+ of columns \[`, `filters of columns: of columns \[`, `tail: footer at \d+`,
	}, "inspect", largest, "--hex", "0")
	if regexp.MustCompile(`(?m)^ {17}[0-9a-f]{2} `).MatchString(r.out) {
		t.Error("--hex 0 shows bytes")
	}
	whole := wants(t, 0, nil, "inspect", largest, "--hex", "-1").out
	shown := len(regexp.MustCompile(` [0-9a-f]{2}\b`).FindAllString(strings.Join(regexp.MustCompile(`(?m)^ {17}[0-9a-f ]+$`).FindAllString(whole, -1), "\n"), -1))
	if int64(shown) != fileBytes(t, largest) {
		t.Errorf("--hex -1 shows %d bytes of %d", shown, fileBytes(t, largest))
	}
	logs, err := filepath.Glob(filepath.Join(folder, "log", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	wants(t, 0, []string{`commit: magic "STOALOG"`, `kind: state`, `end of the commits`}, "inspect", logs[0])
	stopServer(t, server)
}

func fileBytes(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestInspectPrintsWhatIsWholeAndNamesTheDamage.
func TestInspectPrintsWhatIsWholeAndNamesTheDamage(t *testing.T) {
	folder, segment := filled(t)
	whole, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	flipped := append([]byte(nil), whole...)
	flipped[24] ^= 1 // in the first page
	r := wants(t, 1, []string{`page\.seg: offset 16: corrupt data: page checksum`}, "inspect", write("page.seg", flipped))
	for _, want := range []string{"DAMAGED", "column 4, span id", "tail: footer at"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("a segment with a damaged page prints without %q:\n%s", want, r.out)
		}
	}
	r = wants(t, 1, []string{`cut\.seg: offset \d+: corrupt data: no segment tail`}, "inspect", write("cut.seg", whole[:len(whole)-7]))
	if !strings.Contains(r.out, "header, version 2") {
		t.Errorf("a segment without its end prints\n%s", r.out)
	}
	manifest, err := os.ReadFile(filepath.Join(filepath.Dir(segment), "MANIFEST"))
	if err != nil {
		t.Fatal(err)
	}
	r = wants(t, 1, []string{`short: offset \d+: corrupt data`}, "inspect", write("short", manifest[:len(manifest)-1]))
	if !strings.Contains(r.out, "manifest version 1") || !strings.Contains(r.out, `segment 0: name`) {
		t.Errorf("a manifest without its end prints\n%s", r.out)
	}
	wants(t, 1, []string{"not a file that Stoa writes"}, "inspect", write("notes.txt", []byte("hello, world")))
	wants(t, 1, []string{"not a file that Stoa writes"}, "inspect", write("empty", nil))
	wants(t, 1, []string{"no such file"}, "inspect", filepath.Join(folder, "nothing"))
	wants(t, 1, []string{"is not a file; stoa analyze"}, "inspect", folder)
	wants(t, 2, []string{"--hex -2: want"}, "inspect", segment, "--hex", "-2")
	wants(t, 2, []string{"want one file, got 0"}, "inspect")
	wants(t, 0, []string{"no damage"}, "verify", folder)
}

// TestAnalyzeAccountsForTheFolder: what it adds up is what the files have.
func TestAnalyzeAccountsForTheFolder(t *testing.T) {
	folder := t.TempDir()
	wants(t, 0, nil, "import", "--data", folder, fixture(t, "zipkin-fixtures"))
	before := filesOf(t, folder)
	wants(t, 0, []string{
		`^1094 spans in \d+ traces, \d+ segments of ` + strconv.Itoa(cluster.ShardsDefault()) + ` shards: \d+ bytes, \d+\.\d\d a span; the index takes \d+\.\d %\n`,
		`(?m)^PART +BYTES +A SPAN +SHARE`, `(?m)^span id +\d+ +8\.\d+ `, `(?m)^and \d+ smaller parts`,
		`(?m)^LEVEL +KEY +TYPE +DISTINCT +VALUES`, `(?m)^SEGMENT +LEVEL +TEMPLATES`, `(?m)^shard-00\d/0+1\.seg +span +\d+`,
	}, "analyze", folder, "--top", "5")
	var a analysisJSON
	if err := json.Unmarshal([]byte(wants(t, 0, nil, "analyze", folder, "--top", "0", "-o", "json").out), &a); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(folder, "shard-*", "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	stored, parts, share := int64(0), int64(0), 0.0
	for _, name := range segments {
		stored += fileBytes(t, name)
	}
	for _, p := range a.Parts {
		parts += p.Bytes
		share += p.Share
	}
	if a.Bytes != stored || parts != stored || a.Spans != 1094 || share < 0.999 || share > 1.001 || a.PartsLeft+a.KeysLeft != 0 {
		t.Errorf("%d bytes and %d in parts of %d stored, %d spans, shares of %v", a.Bytes, parts, stored, a.Spans, share)
	}
	for i := 1; i < len(a.Keys); i++ {
		if a.Keys[i].DistinctMax > a.Keys[i-1].DistinctMax {
			t.Errorf("%s, with more distinct values, stands after %s", a.Keys[i].Key, a.Keys[i-1].Key)
		}
	}
	for _, s := range a.Segments {
		if s.IndexBytes > max(s.Bytes/10, 32<<10) {
			t.Errorf("%s: the index takes %d of %d bytes", s.Segment, s.IndexBytes, s.Bytes)
		}
	}
	unchanged(t, folder, before)
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segments[0], b[:len(b)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	r := wants(t, 1, []string{`damage: .*0+1\.seg: offset \d+: corrupt data`, "1 damaged files are left out"}, "analyze", folder)
	if !strings.Contains(r.out, fmt.Sprintf("%d segments of %d shards", len(segments)-1, cluster.ShardsDefault())) {
		t.Errorf("with one segment damaged it says\n%s", r.out)
	}
	wants(t, 1, []string{"not a Stoa data folder"}, "analyze", t.TempDir())
	wants(t, 1, []string{"is not a folder; stoa inspect"}, "analyze", segments[0])
	wants(t, 2, []string{"--top -1: want"}, "analyze", folder, "--top", "-1")
	used := t.TempDir()
	server := startServer(t, used)
	wants(t, 1, []string{regexp.QuoteMeta(used) + " is in use", "stop the server"}, "analyze", used)
	stopServer(t, server)
	wants(t, 0, []string{"^0 spans in 0 traces"}, "analyze", used)
}

// TestAttributesAreTheSameFromServerMemoryAndFolder.
func TestAttributesAreTheSameFromServerMemoryAndFolder(t *testing.T) {
	folder := t.TempDir()
	server := startServer(t, folder)
	wants(t, 0, nil, "import", "--addr", server.Storage, "--admin", server.Admin, fixture(t, "zipkin-fixtures"))
	answers := map[string]string{}
	same := func(args ...string) {
		t.Helper()
		question := strings.Join(args[:len(args)-2], " ")
		out := wants(t, 0, nil, args...).out
		if before, ok := answers[question]; ok && before != out {
			t.Errorf("%s answered\n%s\nand now\n%s", question, before, out)
		}
		answers[question] = out
	}
	ask := func(where ...string) {
		t.Helper()
		with := func(args ...string) []string { return append(append([]string{"attributes"}, args...), where...) }
		wants(t, 0, []string{
			`(?m)^LEVEL +KEY +TYPE +VALUES +DISTINCT +TEXT BYTES$`, `(?m)^span +http\.method +string +293 +4 +973$`, `(?m)^resource +service\.name +string +1094 `,
		}, with()...)
		wants(t, 0, []string{`(?s)^LEVEL +TYPE +COUNT +VALUE\nspan +string +\d+ +\S+\n`, `(?m)^2 of 4 distinct values; 293 values in all$`},
			with("http.method", "--limit", "2")...)
		wants(t, 0, []string{`^no value of nothing found\n$`}, with("nothing")...)
		wants(t, 0, []string{`^no value of http.method found\n$`}, with("http.method", "--level", "link")...)
		same(with("http.path", "--json")...)
		same(with("service.name", "--level", "resource", "-o", "csv")...)
		same(with("net.peer.port", "-o", "jsonl")...)
	}
	address := func(s *bench.Server) []string { return []string{"--addr=" + s.Storage, "--admin=" + s.Admin} }
	ask(address(server)...)
	if err := server.Ask(t.Context(), "/flush"); err != nil {
		t.Fatal(err)
	}
	ask(address(server)...)
	wants(t, 1, []string{"admin port does not answer.*--admin"}, "attributes", "--addr", server.Storage, "--admin", nobody(t))
	stopServer(t, server)
	ask("--data", folder)
	wants(t, 2, []string{`--level "spam": want span, resource, scope, event, link`}, "attributes", "--level", "spam")
	wants(t, 2, []string{"--limit 0: want 1 to 100000"}, "attributes", "k", "--limit", "0")
	wants(t, 2, []string{"want at most one key, got 2"}, "attributes", "a", "b")
}

// TestFindExplainsItselfOnStandardError, and leaves the answer as it is.
func TestFindExplainsItselfOnStandardError(t *testing.T) {
	folder := t.TempDir()
	wants(t, 0, nil, "import", "--data", folder, fixture(t, "zipkin-fixtures"))
	server := startServer(t, folder)
	for _, where := range []string{"--addr=" + server.Storage, "--data=" + folder} {
		if strings.HasPrefix(where, "--data") {
			stopServer(t, server)
		}
		plain := wants(t, 0, nil, "find", "http.method=GET", "--json", where)
		explained := wants(t, 0, nil, "find", "http.method=GET", "--json", "--explain", where)
		if plain.out != explained.out || plain.err != "" {
			t.Errorf("explained, the answer is another: %s", plain.err)
		}
		for _, want := range []string{
			`^The search took \d+\.\d{3} ms, over all shards:\n`, `segments +\d, passed over: \d`, `templates +\d+ in the others, \d+ may match`,
			`pages +\d+ read from files, \d+ open already`, `rows +\d+ decided without being read, \d+ read\n$`,
		} {
			if !regexp.MustCompile(want).MatchString(explained.err) {
				t.Errorf("%q is not in\n%s", want, explained.err)
			}
		}
	}
}
