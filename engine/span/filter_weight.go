package span

import "fmt"

// CheckWeight refuses a filter whose lists, or whose patterns, are too much together.
func CheckWeight(f Filter) error {
	constants, steps := weightOf(f)
	switch {
	case constants > ConstantsMax:
		return fmt.Errorf("%w: %d constants in the lists of one filter, at most %d", ErrInvalid, constants, ConstantsMax)
	case steps > PatternsStepsMax:
		return fmt.Errorf("%w: the patterns of one filter take more than %d steps together", ErrInvalid, PatternsStepsMax)
	}
	return nil
}

// weightOf counts the constants in lists, and the steps of patterns.
func weightOf(f Filter) (constants, steps int) {
	switch f := f.(type) {
	case In:
		return len(f.Values), 0
	case NotIn:
		return len(f.Values), 0
	case Regex:
		return 0, PatternSteps(f.Pattern)
	}
	for _, part := range partsOf(f) {
		c, s := weightOf(part)
		constants, steps = constants+c, steps+s
	}
	return constants, steps
}

// partsOf gives the filters within a filter.
func partsOf(f Filter) []Filter {
	switch f := f.(type) {
	case And:
		return f.Parts
	case Or:
		return f.Parts
	case Not:
		return []Filter{f.Part}
	case Some:
		return []Filter{f.Part}
	}
	return nil
}
