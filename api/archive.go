package api

import (
	"google.golang.org/grpc"

	"github.com/stoadb/stoa/api/pb/storagev1"
)

// An archive is a second store: what somebody chose to keep. Jaeger 1.62 reaches
// it by two services of the storage port, which stand here; later ones, and Jaeger 2, want
// a storage of its own: the archive port, with the services of the storage port.

// archiveReader is ArchiveSpanReaderPlugin.
type archiveReader struct {
	storagev1.UnimplementedArchiveSpanReaderPluginServer
	archive version1Reader
}

// GetArchiveTrace is GetTrace of the archive.
func (r archiveReader) GetArchiveTrace(request *storagev1.GetTraceRequest, stream version1Stream) error {
	return r.archive.GetTrace(request, stream)
}

// archiveServices are the two services of an archive on the storage port.
func archiveServices() []*grpc.ServiceDesc {
	return []*grpc.ServiceDesc{asStreams(storagev1.ArchiveSpanReaderPlugin_ServiceDesc), archiveWriter()}
}

// archiveWriter describes ArchiveSpanWriterPlugin; see version1Writer.
func archiveWriter() *grpc.ServiceDesc {
	desc := storagev1.ArchiveSpanWriterPlugin_ServiceDesc
	return &grpc.ServiceDesc{
		ServiceName: desc.ServiceName,
		Metadata:    desc.Metadata,
		Streams:     []grpc.StreamDesc{{StreamName: "WriteArchiveSpan", ServerStreams: true, Handler: onCall((*Server).writeSpan)}},
	}
}
