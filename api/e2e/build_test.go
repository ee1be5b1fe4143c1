package e2e_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// programs are the binaries of a run.
type programs struct {
	stoa    string
	jaeger1 string // all-in-one of 1.76.0: storage API v1
	jaeger2 string // jaeger of 2.13.0, the same commit: storage API v2
}

// buildTimeMax bounds the build: it takes about three minutes on two cores with nothing
// but the modules there. STOA_E2E_BUILD says another bound.
const buildTimeMax = 30 * time.Minute

// module is where Jaeger's commands lie.
const module = "github.com/jaegertracing/jaeger/cmd/"

var build = sync.OnceValues(buildAll)

// built gives the binaries, built once a run. A build that runs out of time skips, loudly:
// it says nothing about Stoa.
func built(t *testing.T) programs {
	t.Helper()
	all, err := build()
	if errors.Is(err, context.DeadlineExceeded) {
		t.Skipf("SKIP: Jaeger is not built within the bound; nothing was checked: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// buildAll puts the binaries into the user's cache folder, where the go command finds
// them up to date the next time. Jaeger's modules come through the Go proxy.
func buildAll() (programs, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return programs{}, err
	}
	folder := filepath.Join(cache, "stoa-e2e")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return programs{}, err
	}
	bound := buildTimeMax
	if text := os.Getenv("STOA_E2E_BUILD"); text != "" {
		if bound, err = time.ParseDuration(text); err != nil {
			return programs{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	all := programs{filepath.Join(folder, "stoa"), filepath.Join(folder, "all-in-one"), filepath.Join(folder, "jaeger")}
	return all, errors.Join(
		goBuild(ctx, "../..", all.stoa, "./cmd/stoa"),
		goBuild(ctx, ".", all.jaeger1, module+"all-in-one"),
		goBuild(ctx, ".", all.jaeger2, module+"jaeger"),
	)
}

func goBuild(ctx context.Context, folder, target, name string) error {
	command := exec.CommandContext(ctx, "go", "build", "-o", target, name)
	command.Dir = folder
	command.Stderr = os.Stderr
	err := command.Run()
	return errors.Join(err, ctx.Err())
}
