package jaegerv1

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stoadb/stoa/api/pb/apiv2"
	"github.com/stoadb/stoa/api/pb/storagev1"
	"github.com/stoadb/stoa/api/wire"
	"github.com/stoadb/stoa/engine/span"
	"github.com/stoadb/stoa/engine/span/otlp"
)

// Measure gives what Decode of a WriteSpanRequest allocates, about. It refuses, with
// span.ErrInvalid, what is no protobuf or has more than partsMax parts.
func Measure(request []byte) (bytes int, err error) {
	parts, err := countParts(request, requestSchema)
	if err != nil {
		return 0, err
	}
	if parts > partsMax {
		return 0, fmt.Errorf("%w: a span of %d tags, logs, fields, references and warnings, at most %d", span.ErrInvalid, parts, partsMax)
	}
	return len(request) + parts*partBytes, nil
}

var requestSchema = (&storagev1.WriteSpanRequest{}).ProtoReflect().Descriptor()

// eachField calls visit with the fields of a message; the descriptor of one that is
// unknown, or has another wire type than it should, is nil. raw is the field as it
// stands, content what a length stands before.
func eachField(b []byte, schema protoreflect.MessageDescriptor, visit func(field protoreflect.FieldDescriptor, raw, content []byte) error) error {
	for len(b) > 0 {
		number, wireType, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: not a span: %w", span.ErrInvalid, protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(number, wireType, b[n:])
		if size < 0 {
			return fmt.Errorf("%w: not a span: field %d: %w", span.ErrInvalid, number, protowire.ParseError(size))
		}
		field, content := schema.Fields().ByNumber(number), []byte(nil)
		if wireType == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(b[n:])
		} else if field != nil && (field.Kind() == protoreflect.MessageKind || field.Kind() == protoreflect.StringKind) {
			field = nil
		}
		if err := visit(field, b[:n+size], content); err != nil {
			return err
		}
		b = b[n+size:]
	}
	return nil
}

func countParts(b []byte, schema protoreflect.MessageDescriptor) (parts int, err error) {
	err = eachField(b, schema, func(field protoreflect.FieldDescriptor, _, content []byte) error {
		switch {
		case field == nil:
		case field.Kind() == protoreflect.MessageKind:
			inner, err := countParts(content, field.Message())
			parts += 1 + inner
			return err
		case field.IsList():
			parts++
		}
		return nil
	})
	return parts, err
}

// Decode reads a WriteSpanRequest. Texts that are not UTF-8, which Jaeger's own encoder
// lets through, get U+FFFD and are counted. Unknown fields are not kept. Errors are of
// kind span.ErrInvalid.
func Decode(request []byte) (*apiv2.Span, otlp.Counts, error) {
	message := &storagev1.WriteSpanRequest{}
	options := proto.UnmarshalOptions{DiscardUnknown: true}
	counts := otlp.Counts{}
	if err := options.Unmarshal(request, message); err != nil {
		repaired, err := appendRepaired(nil, request, requestSchema, &counts.InvalidUTF8)
		if err == nil {
			err = options.Unmarshal(repaired, message)
		}
		if err != nil {
			return nil, otlp.Counts{}, fmt.Errorf("%w: not a span: %w", span.ErrInvalid, err)
		}
	}
	if message.GetSpan() == nil {
		return nil, otlp.Counts{}, fmt.Errorf("%w: a request without a span", span.ErrInvalid)
	}
	return message.GetSpan(), counts, nil
}

// appendRepaired appends the message with valid texts.
func appendRepaired(dst, b []byte, schema protoreflect.MessageDescriptor, repairs *int) ([]byte, error) {
	err := eachField(b, schema, func(field protoreflect.FieldDescriptor, raw, content []byte) error {
		var err error
		switch {
		case field == nil:
		case field.Kind() == protoreflect.MessageKind:
			var inner []byte
			if inner, err = appendRepaired(nil, content, field.Message(), repairs); err == nil {
				dst = protowire.AppendBytes(protowire.AppendTag(dst, field.Number(), protowire.BytesType), inner)
			}
		case field.Kind() == protoreflect.StringKind && !utf8.Valid(content):
			*repairs++
			dst = protowire.AppendString(protowire.AppendTag(dst, field.Number(), protowire.BytesType), wire.Text(string(content)))
		default:
			dst = append(dst, raw...)
		}
		return err
	})
	return dst, err
}

// Normalize gives a span the form in which Jaeger holds it in memory: ids of full length,
// a time not given is the year 1, a duration not given 0. What Jaeger could not read
// again is refused with span.ErrInvalid: ids of another length, times and durations out
// of bounds; zero ids of the span itself are refused too. Counts has what was refused for
// its ids.
func Normalize(s *apiv2.Span) (otlp.Counts, error) {
	var ok bool
	if s.TraceId, ok = fullTraceID(s.GetTraceId()); !ok || isZero(s.GetTraceId()) {
		return otlp.Counts{DroppedTraceID: 1}, fmt.Errorf("%w: a span whose trace id is zero or neither 8 nor 16 bytes", span.ErrInvalid)
	}
	if len(s.GetSpanId()) != 8 || isZero(s.GetSpanId()) {
		return otlp.Counts{DroppedSpanID: 1}, fmt.Errorf("%w: a span whose id is zero or not 8 bytes", span.ErrInvalid)
	}
	for _, ref := range s.GetReferences() {
		if ref.TraceId, ok = fullTraceID(ref.GetTraceId()); !ok {
			return otlp.Counts{DroppedTraceID: 1}, fmt.Errorf("%w: a reference whose trace id is neither 8 nor 16 bytes", span.ErrInvalid)
		}
		if len(ref.GetSpanId()) == 0 {
			ref.SpanId = make([]byte, 8)
		}
		if len(ref.GetSpanId()) != 8 {
			return otlp.Counts{DroppedSpanID: 1}, fmt.Errorf("%w: a reference whose span id is not 8 bytes", span.ErrInvalid)
		}
	}
	var err error
	if s.StartTime, err = fullTime(s.GetStartTime()); err != nil {
		return otlp.Counts{}, err
	}
	if s.GetDuration() == nil {
		s.Duration = &durationpb.Duration{}
	}
	if err := checkDuration(s.GetDuration()); err != nil {
		return otlp.Counts{}, err
	}
	for _, log := range s.GetLogs() {
		if log.Timestamp, err = fullTime(log.GetTimestamp()); err != nil {
			return otlp.Counts{}, err
		}
	}
	return otlp.Counts{}, nil
}

func fullTraceID(id []byte) (full []byte, ok bool) {
	switch len(id) {
	case 16:
		return id, true
	case 0, 8:
		full := make([]byte, 16)
		copy(full[16-len(id):], id)
		return full, true
	}
	return id, false
}

// yearOne is the zero time of Go.
const yearOne = -62135596800

func fullTime(t *timestamppb.Timestamp) (*timestamppb.Timestamp, error) {
	if t == nil {
		return &timestamppb.Timestamp{Seconds: yearOne}, nil
	}
	if err := t.CheckValid(); err != nil {
		return t, fmt.Errorf("%w: a span with a %w", span.ErrInvalid, err)
	}
	return t, nil
}

// checkDuration wants what fits 64 bits of nanoseconds: Jaeger refuses to read others.
func checkDuration(d *durationpb.Duration) error {
	err := d.CheckValid()
	if whole := d.AsDuration(); err == nil && (whole == math.MaxInt64 || whole == math.MinInt64) {
		err = errors.New("duration out of range")
	}
	if err != nil {
		return fmt.Errorf("%w: a span with a %w", span.ErrInvalid, err)
	}
	return nil
}
