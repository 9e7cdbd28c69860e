package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"netaudit/appliance"
)

type versionCommand struct{}

// Help implements kong.HelpProvider.
func (versionCommand) Help() string { return "Example:\n  netaudit version" }

// Run prints the version, the commit it was built from and the toolchain.
func (versionCommand) Run(s *session) error {
	revision := "unknown commit"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				revision = "commit " + setting.Value[:min(12, len(setting.Value))]
			}
		}
	}
	fmt.Fprintf(s.stdout, "netaudit %s (%s, %s, %s/%s)\n", appliance.Version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
