package bench

import (
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"

	"github.com/stoadb/stoa/bench/workload"
)

// Source is where the spans of a measurement come from: recordings or a workload, once or
// amplified. It gives the same requests whenever it is asked.
type Source struct {
	files    []string
	workload *workload.Config
	amplify  Amplification

	held [][][]byte // by recording, once Hold has read them
}

// FromFiles reads recordings, one after the other.
func FromFiles(files ...string) *Source { return &Source{files: files} }

// FromWorkload makes spans.
func FromWorkload(c workload.Config) *Source { return &Source{workload: &c} }

// Amplified gives all of it so many times; see Amplification.
func (s *Source) Amplified(a Amplification) *Source {
	s.amplify = a
	return s
}

// Name tells what it is, for a report.
func (s *Source) Name() string {
	var name string
	if s.workload != nil {
		name = fmt.Sprintf("%s, seed %d, %d spans", s.workload.Preset, s.workload.Seed, s.workload.Spans)
	} else {
		names := make([]string, len(s.files))
		for i, file := range s.files {
			names[i] = strings.TrimSuffix(filepath.Base(file), ".otlp.zst")
		}
		name = strings.Join(names, " + ")
	}
	if s.amplify.Times > 1 {
		name = fmt.Sprintf("%s, %d times", name, s.amplify.Times)
	}
	return name
}

// Workload is the config of what is made, nil for recordings.
func (s *Source) Workload() *workload.Config { return s.workload }

// parts gives the recordings, or what is made as one of them.
func (s *Source) parts() []iter.Seq2[[]byte, error] {
	var parts []iter.Seq2[[]byte, error]
	switch {
	case s.held != nil:
		for _, held := range s.held {
			parts = append(parts, Held(held))
		}
	case s.workload != nil:
		parts = append(parts, workload.Requests(*s.workload))
	default:
		for _, file := range s.files {
			parts = append(parts, Requests(file))
		}
	}
	return parts
}

// Requests gives the requests in their order. They are not to be changed.
func (s *Source) Requests() iter.Seq2[[]byte, error] {
	parts := s.parts()
	if s.amplify.Times > 1 {
		return Amplify(s.amplify, parts...)
	}
	return func(yield func([]byte, error) bool) {
		for _, part := range parts {
			for request, err := range part {
				if !yield(request, err) || err != nil {
					return
				}
			}
		}
	}
}

// Hold reads or makes everything once and keeps it, so that it costs a measurement
// nothing; copies are still made when they are asked for. What is larger than fits stays
// where it is, and false is told.
func (s *Source) Hold() (bool, error) {
	var all [][][]byte
	bytes := int64(0)
	for _, part := range s.parts() {
		held, err := holdUpTo(part, heldBytesMax-bytes)
		if errors.Is(err, errNotHeld) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		for _, request := range held {
			bytes += int64(len(request))
		}
		all = append(all, held)
	}
	s.held = all
	return true, nil
}

// Count counts the spans and bytes.
func (s *Source) Count() (spans, bytes int64, err error) {
	for _, part := range s.parts() {
		for request, err := range part {
			if err != nil {
				return 0, 0, err
			}
			n, err := CountSpans(request)
			if err != nil {
				return 0, 0, err
			}
			spans, bytes = spans+int64(n), bytes+int64(len(request))
		}
	}
	times := int64(max(1, s.amplify.Times))
	return spans * times, bytes * times, nil
}
