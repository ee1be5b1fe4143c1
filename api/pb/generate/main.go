// Command generate prepares protoc's input for api/pb, where protoc cannot read the
// .proto files as they are:
//
//	generate otlp OUT     the descriptors of OTLP's messages, taken from its Go types,
//	                      because no Go module carries OTLP's .proto files
//	generate strip IN OUT the descriptor set IN without the options of gnostic, which
//	                      only describe an HTTP API: the stubs need no gnostic at run time
//	generate plain IN OUT the .proto file IN of Jaeger's version 1 without the options of
//	                      gogo, which shape Go types and leave no trace on the wire
//
// It runs only in api/pb/generate.sh.
package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "otlp":
		set := &descriptorpb.FileDescriptorSet{}
		addFile(set, tracev1.File_opentelemetry_proto_trace_v1_trace_proto)
		return write(args[1], set)
	case len(args) == 3 && args[0] == "strip":
		return strip(args[1], args[2])
	case len(args) == 3 && args[0] == "plain":
		return plain(args[1], args[2])
	}
	return fmt.Errorf("usage: generate otlp OUT | generate strip IN OUT | generate plain IN OUT")
}

// addFile appends file after the files it imports, each once.
func addFile(set *descriptorpb.FileDescriptorSet, file protoreflect.FileDescriptor) {
	if slices.ContainsFunc(set.File, func(f *descriptorpb.FileDescriptorProto) bool { return f.GetName() == file.Path() }) {
		return
	}
	for i := range file.Imports().Len() {
		addFile(set, file.Imports().Get(i).FileDescriptor)
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
}

func strip(in, out string) error {
	data, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(data, set); err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	isGnostic := func(path string) bool { return strings.HasPrefix(path, "gnostic/") }
	set.File = slices.DeleteFunc(set.File, func(f *descriptorpb.FileDescriptorProto) bool { return isGnostic(f.GetName()) })
	for _, file := range set.File {
		file.Dependency = slices.DeleteFunc(file.Dependency, isGnostic)
		for _, message := range file.MessageType {
			stripMessage(message)
		}
	}
	return write(out, set)
}

// stripMessage drops extension options: this program does not link gnostic, so they are
// the unknown fields of the options.
func stripMessage(message *descriptorpb.DescriptorProto) {
	if message.Options != nil {
		message.Options.ProtoReflect().SetUnknown(nil)
	}
	for _, field := range message.Field {
		if field.Options != nil {
			field.Options.ProtoReflect().SetUnknown(nil)
		}
	}
	for _, nested := range message.NestedType {
		stripMessage(nested)
	}
}

// What plain takes out of a .proto file, and the one path that it rewrites: model.proto
// would be a common name in a process.
var (
	comments    = regexp.MustCompile(`(?m)[ \t]*//.*$`)
	gogoImport  = regexp.MustCompile(`import "gogoproto/gogo.proto";\n`)
	fileOptions = regexp.MustCompile(`(?m)^[ \t]*option (\([^)]*\)|go_package|java_package)[^;]*;\n`)
	gogoOptions = regexp.MustCompile(`\s*\[(\s*\(gogoproto\.[^\]]*)\]`)
	blankLines  = regexp.MustCompile(`\n{3,}`)
)

// plain keeps the licence at the head of the file and says what was done.
func plain(in, out string) error {
	data, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	licence, body, found := strings.Cut(string(data), "\n\n")
	if !found || !strings.HasPrefix(licence, "//") {
		return fmt.Errorf("%s does not begin with its licence", in)
	}
	body = comments.ReplaceAllString(body, "")
	for _, cut := range []*regexp.Regexp{gogoImport, fileOptions, gogoOptions} {
		body = cut.ReplaceAllString(body, "")
	}
	body = strings.ReplaceAll(body, `import "model.proto"`, `import "jaeger/api_v2/model.proto"`)
	body = strings.TrimSpace(blankLines.ReplaceAllString(body, "\n\n")) + "\n"
	note := "//\n// Changed for Stoa by api/pb/generate: without comments, and without the options of gogo.\n\n"
	return os.WriteFile(out, []byte(licence+"\n"+note+body), 0o600)
}

func write(path string, set *descriptorpb.FileDescriptorSet) error {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}
