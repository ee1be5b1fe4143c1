package main

import (
	"runtime/debug"
	"testing"
)

func TestVersionSaysWhatIsKnownAndNoMore(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef"}
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for _, c := range []struct {
		module   string
		settings []debug.BuildSetting
		want     string
	}{
		{"v1.2.3", nil, "v1.2.3"},
		{"(devel)", nil, "devel"},
		{"", nil, "devel"},
		{"(devel)", []debug.BuildSetting{revision}, "devel-0123456789ab"},
		{"(devel)", []debug.BuildSetting{revision, modified}, "devel-0123456789ab+changes"},
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: c.module}, Settings: c.settings}
		if got := versionOf(info); got != c.want {
			t.Errorf("module %q, %v: %q, want %q", c.module, c.settings, got, c.want)
		}
	}
}
