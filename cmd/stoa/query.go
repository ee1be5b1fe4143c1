package main

import (
	"errors"
	"fmt"
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
