package api_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/enginetest"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/internal/vfs"
	"github.com/stoadb/stoa/wal"
)

// TestRandomFiltersAnswerAsTheRulesSayOverTheWire: random spans written through OTLP, random
// filters asked through storage v2 of a server over a real store, in memory, flushed and
// compacted, against the slow evaluator that is written from the rules alone. Half of the worlds
// have a trace for nearly each span, so that the traces found tell the spans.
func TestRandomFiltersAnswerAsTheRulesSayOverTheWire(t *testing.T) {
	worlds, filters := 24, 300 // times three states: 21,600 cases
	if testing.Short() {
		worlds = 4
	}
	found := 0
	for seed := range uint64(worlds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { found += newWireWorld(t, seed).ask(t, filters) })
	}
	if all := worlds * filters * 3; found < all/4 || found > all*9/10 {
		t.Errorf("%d of %d filters find anything: this shows little", found, all)
	}
}

// wireWorld is a server over a real store, and the model of what was written to it.
type wireWorld struct {
	server *running
	store  *cluster.Store
	gen    *enginetest.Generator
	model  *enginetest.Model
	write  func(spans int) error
}

// ask asks filters in each state; it gives how many find anything.
func (w *wireWorld) ask(t *testing.T, filters int) (found int) {
	for _, state := range []struct {
		name  string
		reach func() error
	}{
		{"memtable", func() error { return w.write(40) }},
		{"flushed", func() error { return errors.Join(w.write(20), w.store.Flush(t.Context())) }},
		{"compacted", func() error { return w.store.Compact(t.Context()) }},
	} {
		if err := state.reach(); err != nil {
			t.Fatal(err)
		}
		for range filters {
			q := span.AllTime()
			q.Limit = span.TracesFoundMax
			for q.Filter == nil || !isSayable(q.Filter) {
				q.Filter = onTheWire(w.gen.Filter(w.model))
			}
			ids, err := w.server.FindTraceIDs(t.Context(), q)
			if err != nil {
				t.Fatalf("%s, %v: %v", state.name, q.Filter, err)
			}
			q.Filter = asRead(q.Filter)
			want := w.model.Find(q)
			if !slices.EqualFunc(ids, want, func(id span.TraceID, f span.Found) bool { return id == f.TraceID }) {
				t.Fatalf("%s, %v: %d traces, want %d", state.name, q.Filter, len(ids), len(want))
			}
			found += min(1, len(ids))
		}
	}
	return found
}

func newWireWorld(t *testing.T, seed uint64) *wireWorld {
	t.Helper()
	w := &wireWorld{gen: enginetest.NewGenerator(seed, 2+int(seed%9)), model: enginetest.NewModel()}
	if seed%2 == 1 {
		w.gen = enginetest.NewGenerator(seed, 500)
	}
	var err error
	w.store, err = cluster.Open(t.Context(), cluster.Options{
		FS: vfs.NewCrash(seed), Shards: 2, ReserveBytes: -1, Log: wal.Options{FileBytes: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close(t.Context()) })
	w.server = start(t, over(w.store), api.Options{})
	w.write = func(spans int) error {
		request := enginetest.Payload(w.gen.Spans(spans))
		if _, err := w.model.Add(request); err != nil {
			return err
		}
		_, err := w.server.Export(t.Context(), request)
		return err
	}
	return w
}

// isSayable reports whether a client can ask for a filter: protobuf has no text that is not
// UTF-8, an attribute has a key, RFC 3339 ends with the year 9999. Of two constants both have a type
// or none, and times have none there: what they stand beside tells.
func isSayable(f span.Filter) bool {
	sayable := true
	operands := func(list ...span.Operand) {
		for _, operand := range list {
			switch o := operand.(type) {
			case span.Attribute:
				sayable = sayable && o.Key != "" && utf8.ValidString(o.Key)
			case span.Constant:
				sayable = sayable && utf8.ValidString(o.Text) && (o.Type != span.InstantConstant || time.Unix(o.Int, 0).UTC().Year() <= 9999)
			}
		}
	}
	rewritten(f, func(leaf span.Filter) span.Filter {
		switch leaf := leaf.(type) {
		case span.Comparison:
			operands(leaf.Left, leaf.Right)
			left, isLeft := leaf.Left.(span.Constant)
			right, isRight := leaf.Right.(span.Constant)
			sayable = sayable && (!isLeft || !isRight || left.Type == right.Type && left.Type < span.DurationConstant)
		case span.In:
			operands(leaf.Reference)
			for _, value := range leaf.Values {
				operands(value)
			}
		case span.NotIn:
			operands(leaf.Reference)
			for _, value := range leaf.Values {
				operands(value)
			}
		case span.Exists:
			operands(leaf.Reference)
		case span.Regex:
			operands(leaf.Reference)
		case span.Phrase:
			operands(leaf.Attribute)
		case span.FullText:
			operands(leaf.Attribute)
		case span.Tag:
			sayable = sayable && utf8.ValidString(leaf.Key) && utf8.ValidString(leaf.Value)
		}
		return leaf
	})
	return sayable
}

// onTheWire spells what has no spelling there in another way that means the same: a list has one
// type, so one of several becomes several lists.
func onTheWire(f span.Filter) span.Filter {
	return rewritten(f, func(leaf span.Filter) span.Filter {
		switch leaf := leaf.(type) {
		case span.In:
			parts := make([]span.Filter, 0, 2)
			for _, list := range byType(leaf.Values) {
				parts = append(parts, span.In{Reference: leaf.Reference, Values: list})
			}
			if len(parts) > 1 {
				return span.Or{Parts: parts}
			}
		case span.NotIn:
			parts := make([]span.Filter, 0, 2)
			for _, list := range byType(leaf.Values) {
				parts = append(parts, span.NotIn{Reference: leaf.Reference, Values: list})
			}
			if len(parts) > 1 {
				return span.And{Parts: parts}
			}
		}
		return leaf
	})
}

func byType(values []span.Constant) (lists [][]span.Constant) {
	for _, value := range values {
		at := slices.IndexFunc(lists, func(list []span.Constant) bool { return list[0].Type == value.Type })
		if at < 0 {
			lists, at = append(lists, nil), len(lists)
		}
		lists[at] = append(lists[at], value)
	}
	return lists
}

// asRead is what a server must read: a constant without a type is text beside a field of text.
func asRead(f span.Filter) span.Filter {
	read := func(c span.Constant, beside span.Operand) span.Constant {
		field, isField := beside.(span.Field)
		if c.Type == span.UntypedConstant && isField && field.Domain() == span.TextDomain {
			return span.OfString(c.Text)
		}
		return c
	}
	list := func(values []span.Constant, beside span.Operand) []span.Constant {
		texts := make([]span.Constant, len(values))
		for i, value := range values {
			texts[i] = read(value, beside)
		}
		return texts
	}
	return rewritten(f, func(leaf span.Filter) span.Filter {
		switch leaf := leaf.(type) {
		case span.Comparison:
			left, right := leaf.Left, leaf.Right
			if c, ok := left.(span.Constant); ok {
				leaf.Left = read(c, right)
			}
			if c, ok := right.(span.Constant); ok {
				leaf.Right = read(c, left)
			}
			return leaf
		case span.In:
			return span.In{Reference: leaf.Reference, Values: list(leaf.Values, leaf.Reference)}
		case span.NotIn:
			return span.NotIn{Reference: leaf.Reference, Values: list(leaf.Values, leaf.Reference)}
		}
		return leaf
	})
}

// rewritten is a filter with each leaf changed.
func rewritten(f span.Filter, change func(leaf span.Filter) span.Filter) span.Filter {
	all := func(parts []span.Filter) []span.Filter {
		changed := make([]span.Filter, len(parts))
		for i, part := range parts {
			changed[i] = rewritten(part, change)
		}
		return changed
	}
	switch f := f.(type) {
	case span.And:
		return span.And{Parts: all(f.Parts)}
	case span.Or:
		return span.Or{Parts: all(f.Parts)}
	case span.Not:
		return span.Not{Part: rewritten(f.Part, change)}
	case span.Some:
		return span.Some{Level: f.Level, Part: rewritten(f.Part, change)}
	}
	return change(f)
}
