package wire

// ExplainHeader of a search's request, with the value "1", asks what the search did; the
// trailer of the same name answers it with a span.Explained as JSON. gRPC wants lower case.
const ExplainHeader = "x-stoa-explain"
