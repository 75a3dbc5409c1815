package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
)

// Version is what was built.
type Version struct {
	Number string `json:"version"`
	Commit string `json:"commit,omitempty"`
	Go     string `json:"go"`
	System string `json:"system"`
}

// NewVersion completes what the linker was told with what the toolchain knows.
func NewVersion(number, commit string) Version {
	v := Version{Number: number, Commit: commit, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if v.Number == "" && info.Main.Version != "(devel)" {
		v.Number = info.Main.Version
	}
	if v.Number == "" {
		v.Number = "dev"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v.Commit == "" {
			v.Commit = s.Value
		}
	}
	return v
}

func (a *App) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  term.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			v := a.env.Version
			if a.streams.JSON {
				return a.streams.PrintJSON(v)
			}
			return a.streams.Describe(term.Pair{Name: "covey", Value: v.Number}, term.Pair{Name: "commit", Value: v.Commit},
				term.Pair{Name: "go", Value: v.Go}, term.Pair{Name: "system", Value: v.System})
		},
	}
}
