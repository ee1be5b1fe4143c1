package engine_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/codec"
)

// The names of what a shard sets aside: they are in folders, and a replay finds by them what
// stands there already. That of a part which can be read goes by the bytes of the request that
// the encoder makes of its spans.
const (
	goldenSetAside     = "ffa5bf2238e9762474188de756655c78.otlp"
	goldenSetAsideForm = "1ef68584fc39b4c3b25805c594dec06b.form"
)

// TestTheQuarantineKeepsItsNames, and both lines of the log name the file.
func TestTheQuarantineKeepsItsNames(t *testing.T) {
	for name, c := range map[string]struct {
		request []byte
		file    string
	}{
		"spans": {enginetest.Numbered(7), goldenSetAside},
		"form":  {[]byte{0xff, 0xff}, goldenSetAsideForm},
	} {
		t.Run(name, func(t *testing.T) {
			var lines bytes.Buffer
			w := newWorld(t, 1, 1)
			w.options.Log = slog.New(slog.NewTextHandler(&lines, nil))
			w.options.CheckPart = func(*span.Batch) error { return errors.New("injected") }
			w.mustOpen()
			w.disk.FailAt(1, errors.New("injected: disk"))
			if did := w.apply(c.request); did.Quarantined != 1 {
				t.Fatalf("%+v", did)
			}
			for range 2 {
				if err := w.shard.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got, err := w.disk.List(worldDir + "/quarantine"); err != nil || len(got) != 1 || got[0] != c.file {
					t.Fatalf("quarantine holds %q, %v; want %s", got, err, c.file)
				}
				if err := w.restart(1); err != nil { // a replay, where the log has the entry yet
					t.Fatal(err)
				}
			}
			for _, message := range []string{"part quarantined", "quarantine file not written yet"} {
				named := false
				for line := range strings.Lines(lines.String()) {
					named = named || strings.Contains(line, message) && strings.Contains(line, "file="+c.file)
				}
				if !named {
					t.Errorf("no line %q names %s:\n%s", message, c.file, lines.String())
				}
			}
		})
	}
}

// TestAPartOfNothingIsSetAside: a part without request is one of a form, and no bytes are none.
func TestAPartOfNothingIsSetAside(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.mustOpen()
	did, err := w.shard.Apply(1, &engine.Entry{Received: w.received, Parts: []engine.Part{{Hash: codec.HashBytes(nil)}}})
	if err != nil || did.Quarantined != 1 {
		t.Fatalf("%+v, %v", did, err)
	}
	want := codec.HashBytes(nil).String() + ".form"
	if got, err := w.disk.List(worldDir + "/quarantine"); err != nil || len(got) != 1 || got[0] != want {
		t.Fatalf("quarantine holds %q, %v; want %s", got, err, want)
	}
}
