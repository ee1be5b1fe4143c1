package wire

// TagOperator is an operator of ours in a filter: a span.Tag, with the key and the value as
// constants. Jaeger's protocol has tags beside a filter alone, where they exclude one.
const TagOperator = "stoa.tag"
