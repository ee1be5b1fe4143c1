package jaegerv1

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/stoadb/stoa/api/pb/apiv2"
)

// Shorten makes s fit a message of so many bytes, and says so in its warnings. The store
// cuts longer spans itself, but lists are longer as JSON than in OTLP, and a rest may
// bring back what was cut. From the end, it leaves out logs, then tags, then references,
// then tags of the process, then warnings: as many as it takes. s keeps its Process, which
// other spans may share, unless it is cut.
func Shorten(s *apiv2.Span, bytesMax int) {
	excess := proto.Size(s) - bytesMax
	if excess <= 0 {
		return
	}
	excess += warningBytesMax
	logs, tags, refs, warnings := len(s.GetLogs()), len(s.GetTags()), len(s.GetReferences()), len(s.GetWarnings())
	s.Logs = cutList(s.GetLogs(), &excess)
	s.Tags = cutList(s.GetTags(), &excess)
	s.References = cutList(s.GetReferences(), &excess)
	processTags := 0
	if process := s.GetProcess(); excess > 0 && process != nil {
		kept := cutList(process.GetTags(), &excess)
		processTags = len(process.GetTags()) - len(kept)
		s.Process = &apiv2.Process{ServiceName: process.GetServiceName(), Tags: kept}
	}
	for excess > 0 && len(s.GetWarnings()) > 0 {
		last := len(s.GetWarnings()) - 1
		excess -= fieldBytes(len(s.GetWarnings()[last]))
		s.Warnings = s.GetWarnings()[:last]
	}
	s.Warnings = append(s.GetWarnings(), fmt.Sprintf(
		"span was too long for an answer: without %d logs, %d tags, %d references, %d tags of its process, %d warnings",
		logs-len(s.GetLogs()), tags-len(s.GetTags()), refs-len(s.GetReferences()), processTags, warnings-len(s.GetWarnings())))
}

// warningBytesMax is the longest warning of Shorten as a field.
const warningBytesMax = 256

// cutList leaves out items from the end until excess bytes are gone.
func cutList[T proto.Message](items []T, excess *int) []T {
	for *excess > 0 && len(items) > 0 {
		last := len(items) - 1
		*excess -= fieldBytes(proto.Size(items[last]))
		items = items[:last]
	}
	return items
}

// fieldBytes is what a message or text of n bytes takes as a field.
func fieldBytes(n int) int { return 1 + protowire.SizeBytes(n) }
