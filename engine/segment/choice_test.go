package segment_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stoadb/stoa/engine/segment"
	"github.com/stoadb/stoa/engine/span"
)

// site gives what spans of one place in the code say of it, and of who asked: 1,500 places,
// some of them a hundred times as busy as others.
func site(i, j int) (name, key, value string) {
	random := uint64(i)*0x9e3779b97f4a7c15 ^ 0x5851f42d4c957f2d
	random ^= random >> 29
	at := random % 1500 * (random >> 20 % 100) / 100
	user := uint64(i/10) * 7919 % 800
	switch name = fmt.Sprint("place ", at); j {
	case 0, 1, 2: // follow from the place, with many values
		return name, fmt.Sprint("place.", j), fmt.Sprint("of place ", at*uint64(j+1))
	case 3:
		return name, "port", "8080"
	case 4: // too long for a template in some spans
		return name, "note", strings.Repeat("at length ", int(1+random>>50%64/63*60))
	case 5, 6, 7: // together tell users apart
		return name, fmt.Sprint("user.", j), fmt.Sprint("a user's ", user>>uint(j-5)%40)
	case 8:
		return name, "user", fmt.Sprint(user)
	}
	return name, "order", fmt.Sprintf("%08x", uint32(i)*2654435761)
}

// Of each place half of the spans have a value too long for a template: twice as many templates
// as there are places, and no column is the reason. The choice ends all the same.
func TestTemplatesDifferByNoColumn(t *testing.T) {
	fs := onDisk(t)
	writeStorm(t, fs, func(i, j int) (name, key, value string) {
		return fmt.Sprint("place ", i%1500), fmt.Sprint("key ", j), strings.Repeat("at length ", 1+i/3000%2*60)
	}, 12_000, func() {})
	if err := segment.Verify(fs, "s"); err != nil {
		t.Fatal(err)
	}
}

// What follows from the name stands in templates, however many values it has; what tells
// users apart does not, although no single attribute of theirs is the reason for many
// templates. None is left to row groups: searches ask those row by row.
func TestTemplatesHoldWhatFollowsFromTheName(t *testing.T) {
	fs := onDisk(t)
	writeStorm(t, fs, site, 40_000, func() {})
	s := open(t, fs, "s")
	defer s.Close()
	analysis, err := s.Analyze()
	if err != nil {
		t.Fatal(err)
	}
	use := analysis.Templates[span.SpanLevel]
	t.Logf("%d templates, %d of row groups", use.Shared, use.Own)
	if use.Own > 0 || use.Shared > 3*1500 {
		t.Errorf("%d templates and %d of row groups for 1,500 places", use.Shared, use.Own)
	}
	wantFolded := func(key string, all bool) {
		t.Helper()
		for _, p := range analysis.Parts {
			if strings.Contains(p.What, fmt.Sprintf("%q", key)) && (p.Folded == p.Values) != all {
				t.Errorf("%s: %d of %d values stand in templates", p.What, p.Folded, p.Values)
			}
		}
	}
	for j := range 3 {
		wantFolded(fmt.Sprint("place.", j), true)
	}
	wantFolded("port", true)
	wantFolded("user", false)
	wantFolded("order", false)
	for j := 5; j < 8; j++ {
		wantFolded(fmt.Sprint("user.", j), false)
	}
	if err := segment.Verify(fs, "s"); err != nil {
		t.Fatal(err)
	}
}

// coded gives what spans of so many places say: flag.0 and on have one of so many values, the first of them
// in most spans, whatever the place; where rare is not 0 one span of so many has a value of its own.
func coded(places, values, flags, rare int) func(i, j int) (name, key, value string) {
	return func(i, j int) (name, key, value string) {
		random := rand.New(rand.NewPCG(uint64(i), uint64(j)))
		name = fmt.Sprint("place ", uint64(i)*0x9e3779b97f4a7c15>>33%uint64(places))
		switch {
		case j < flags: // value k is one of 1/(k+1)^2
			value := 0
			for value < values-1 && random.IntN((value+2)*(value+2)) > (value+2)*(value+2)*2/3 {
				value++
			}
			return name, fmt.Sprint("flag.", j), fmt.Sprint("flag ", value)
		case j == 9 && rare > 0 && random.IntN(rare) == 0:
			return name, "rare", fmt.Sprintf("%016x", random.Uint64())
		case j == 9 && rare > 0:
			return name, "rare", "none"
		}
		return name, fmt.Sprint("place.", j), "of " + name
	}
}

// A column of a few values that follow from nothing is folded: templates then tell searches which rows have one
// (decision 0039). So it is beside a column that is endless in a tenth of the spans, which is not.
func TestTemplatesHoldFewValuesAndNoEnd(t *testing.T) {
	for _, c := range []struct{ places, values, flags, rare int }{{300, 12, 1, 0}, {1000, 2, 1, 10}, {100, 5, 2, 10}} {
		fs := onDisk(t)
		writeStorm(t, fs, coded(c.places, c.values, c.flags, c.rare), 100_000, func() {})
		s := open(t, fs, "s")
		analysis, err := s.Analyze()
		if err != nil {
			t.Fatal(err)
		}
		folded := make(map[string]float64)
		for _, p := range analysis.Parts {
			for _, key := range []string{"flag.0", "flag.1", "rare"} {
				if strings.Contains(p.What, fmt.Sprintf("%q", key)) {
					folded[key] = float64(p.Folded) / float64(p.Values)
				}
			}
		}
		t.Logf("%+v: %d templates, folded %v", c, analysis.Templates[span.SpanLevel].Shared, folded)
		for i := range c.flags {
			if key := fmt.Sprint("flag.", i); folded[key] < 1 {
				t.Errorf("%+v: of %s %.2f are folded", c, key, folded[key])
			}
		}
		if rare, ok := folded["rare"]; rare > 0 || ok != (c.rare > 0) {
			t.Errorf("%+v: of rare %.2f are folded, there is one: %v", c, rare, ok)
		}
		s.Close()
		if err := segment.Verify(fs, "s"); err != nil {
			t.Fatal(err)
		}
	}
}
