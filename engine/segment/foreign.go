package segment

import "github.com/stoadb/stoa/engine/span"

// foreign is what a segment's resources, scopes, templates and columns are here; 0 is not
// known yet.
type foreign struct {
	s                 *Segment
	resources, scopes []uint32 // id + 1
	templates         [span.Levels][]uint32
	texts             [span.Levels][]uint32  // of templates: ids among those of templates here
	columns           []uint32               // id
	carried           [span.Levels][]carried // by template
	as                [span.Levels][]asThere // by template
	filters           []filterBytes          // by position among those of the segment
	damaged           []bool                 // filters, in the same way
	next              int                    // row group, as passed was told
	asIs              bool                   // templates are as they are there
	own               map[columnKey]bool     // columns of the segment; nil before missingFrom was asked
	looked, missing   int                    // at columns here; and columns of the segment that are none of them
}

func (w *Writer) foreignOf(s *Segment) *foreign {
	if w.foreign == nil {
		w.foreign = map[*Segment]*foreign{}
	}
	f := w.foreign[s]
	if f == nil {
		f = &foreign{
			s:         s,
			resources: make([]uint32, len(s.resources.Resources)), scopes: make([]uint32, len(s.scopes.Scopes)),
			columns: make([]uint32, len(s.columns)), asIs: s.info.Rows >= asIsRowsMin,
		}
		for _, level := range levels {
			f.templates[level] = make([]uint32, s.templates[level].len())
			f.carried[level], f.as[level] = make([]carried, s.templates[level].len()), make([]asThere, s.templates[level].len())
			f.texts[level] = make([]uint32, len(s.templates[level].texts.Ends))
		}
		w.foreign[s] = f
	}
	return f
}

// resource gives the number here of a resource of the segment.
func (f *foreign) resource(w *Writer, id uint32) uint32 {
	if f.resources[id] == 0 {
		f.resources[id] = w.resources.id(f.s.resources, id) + 1
	}
	return f.resources[id] - 1
}

// scope does the same for a scope.
func (f *foreign) scope(w *Writer, id uint32) uint32 {
	if f.scopes[id] == 0 {
		f.scopes[id] = w.scopes.id(f.s.scopes, id) + 1
	}
	return f.scopes[id] - 1
}

// text gives the id here of a text of a level's templates.
func (f *foreign) text(w *Writer, level span.Level, text uint64) uint64 {
	here := &f.texts[level][text]
	if *here == 0 {
		*here = uint32(w.templateTexts.interner.Intern(f.s.templates[level].text(text)))
	}
	return uint64(*here)
}

// column gives the number here of an attribute column: its level's map column where there are as
// many columns as allowed.
func (f *foreign) column(w *Writer, id uint32) uint32 {
	here := &f.columns[id-colFixed]
	if *here == 0 {
		key := f.s.columns[id-colFixed]
		if _, known := w.columnIDs[key]; !known && len(w.columns) == attributeColumnsMax {
			return columnsOf(key.level).first
		}
		*here = w.columnFor(key)
	}
	return *here
}

// hasRoomFor reports whether the columns of s fit beside those that are there. It is asked for each trace.
func (w *Writer) hasRoomFor(s *Segment) bool {
	columns := len(w.columns)
	return columns+len(s.columns) <= attributeColumnsMax || columns+w.foreignOf(s).missingFrom(w) <= attributeColumnsMax
}

// missingFrom gives how many columns of the segment are not there yet. Columns come and stay: of those that
// came since it was asked last, each is looked up once.
func (f *foreign) missingFrom(w *Writer) int {
	if f.own == nil {
		f.own = make(map[columnKey]bool, len(f.s.columns))
		for _, key := range f.s.columns {
			f.own[key] = true
		}
		f.missing = len(f.own)
	}
	for _, key := range w.columns[f.looked:] {
		if f.own[key] {
			f.missing--
		}
	}
	f.looked = len(w.columns)
	return f.missing
}

// template gives the number here of a template of the segment.
func (f *foreign) template(w *Writer, level span.Level, id uint32) uint32 {
	here := &f.templates[level][id]
	if *here == 0 {
		*here = f.addTemplate(w, level, id) + 1
	}
	return *here - 1
}

func (f *foreign) addTemplate(w *Writer, level span.Level, id uint32) uint32 {
	fold, t := w.folding[level], f.s.templates[level]
	fold.scalars = append(fold.scalars[:0], t.scalarsAt(id)...)
	if level == span.SpanLevel {
		fold.scalars[scalarScope] = f.scope(w, fold.scalars[scalarScope])
	}
	fold.slots = fold.slots[:0]
	for _, s := range t.slotsOf(id) {
		if hasText, _ := slotOf(level, uint64(s.column), f.s.columns); hasText && !s.own {
			s.value = f.text(w, level, s.value)
		}
		if s.column >= colFixed {
			s.column = f.column(w, s.column)
		}
		fold.slots = append(fold.slots, s)
	}
	hash := templateHash(fold.scalars, fold.slots)
	here, place, ok := fold.shared.find(hash, fold.scalars, fold.slots)
	if !ok {
		here = fold.shared.add(hash, place, fold.scalars, fold.slots)
		fold.shared.table.rows = append(fold.shared.table.rows, 0)
	}
	return here
}

// asThere is a template of a source that stands here as it does there.
type asThere struct {
	id    uint32   // + 1; 0 is not known yet
	attrs int      // of an item
	own   []uint32 // columns of the values that stand with an item
}

// asThere gives the template of a bare item as it stands there; nil where it may not stand so here.
func (s *source) asThere(w *Writer, level span.Level, pos int) *asThere {
	return s.foreign.asThere(w, level, s.origin.group.templates[level][s.origin.levels[level].codes[pos]])
}

func (f *foreign) asThere(w *Writer, level span.Level, id uint32) *asThere {
	if !f.asIs {
		return nil
	}
	as := &f.as[level][id]
	if as.id == 0 {
		if w.folding[level].crowded() || !w.hasRoomFor(f.s) {
			return nil
		}
		f.stand(w, as, level, id)
	}
	return as
}

// stand makes a template of the segment stand here as it does there.
func (f *foreign) stand(w *Writer, as *asThere, level span.Level, id uint32) {
	as.id = f.template(w, level, id) + 1
	for _, s := range f.s.templates[level].slotsOf(id) {
		if s.column >= colFixed {
			as.attrs++
			s.column = f.column(w, s.column)
		}
		if s.own {
			as.own = append(as.own, s.column)
		}
	}
}
