package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stoadb/stoa/engine/span"
)

// queryError shows the place in the text where the trouble is.
type queryError struct{ *span.TextError }

func (e queryError) Error() string {
	column := e.Column()
	return fmt.Sprintf("%s\n    %s\n    %s^ character %d", e.Reason, printable(e.Text), strings.Repeat(" ", column-1), column)
}

// parseQuery reads the text of a query. now is what since counts back from.
func parseQuery(text string, now time.Time) (span.Query, error) {
	q, err := span.ParseQuery(text, now)
	if wrong := (*span.TextError)(nil); errors.As(err, &wrong) {
		return q, usageError{queryError{wrong}}
	}
	return q, err
}

// printReading says, where nothing was found, how words were read that look as if they were
// meant as an expression. Words alone are tags, whatever stands in them.
func printReading(w io.Writer, text string, q span.Query, found int) error {
	if found > 0 || !span.IsPlain(text) {
		return nil
	}
	parts := []span.Filter{q.Filter}
	if and, ok := q.Filter.(span.And); ok {
		parts = and.Parts
	}
	for _, part := range parts {
		tag, ok := part.(span.Tag)
		if !ok || !looksMeant(tag.Key) {
			continue
		}
		_, err := fmt.Fprintf(w, "Nothing but words: %s was looked for as a tag of that name. With a space around each ( ) = it is an expression, see 'stoa find --help'.\n", printable(tag.Key))
		return err
	}
	return nil
}

// looksMeant tells keys that name a level, and those with a parenthesis.
func looksMeant(key string) bool {
	level, rest, ok := strings.Cut(key, ".")
	_, isLevel := span.LevelOf(level)
	return ok && isLevel && rest != "" || strings.ContainsAny(key, "()")
}
