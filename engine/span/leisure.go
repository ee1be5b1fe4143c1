package span

import "context"

type leisureKey struct{}

// AtLeisure marks what is asked within ctx as able to wait: an operator's question, say, about all
// there is. A store keeps part of what it answers with for others.
func AtLeisure(ctx context.Context) context.Context {
	return context.WithValue(ctx, leisureKey{}, true)
}

// IsAtLeisure tells whether ctx was marked.
func IsAtLeisure(ctx context.Context) bool { return ctx.Value(leisureKey{}) != nil }
