// Package maintain is the part of `covey admin` that works on stores and files
// without a running control plane: restore a backup, and look into one.
package maintain

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/controlplane"
)

// Commands are the subcommands of `covey admin`.
func Commands(streams *term.Streams) []*cobra.Command {
	return []*cobra.Command{verify(streams), restore(streams), importCommand(streams), operator(streams), ledgerCommand(streams)}
}

func verify(streams *term.Streams) *cobra.Command {
	return &cobra.Command{
		Use: "verify FILE", Short: "Check that a backup is whole and that what is in it fits together", Args: term.Exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }() // only read
			got, err := controlplane.VerifyBackup(f)
			if err != nil {
				return err
			}
			return tell(streams, args[0], got)
		},
	}
}

func restore(streams *term.Streams) *cobra.Command {
	var flags storeFlags
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Write a backup into an empty store", Args: term.Exactly("FILE"),
		Long: `Write a backup into an empty store: the etcd in a new data directory, or one
elsewhere. The backup is checked to its end before anything is written. Put the
custody.key of the installation into the data directory before the control plane
starts. ` + "`covey up`" + ` keeps its control plane in the folder controlplane of its own.`,
		Example: "  covey admin restore covey.backup --data /var/lib/covey\n  covey admin restore covey.backup --data /var/lib/covey --etcd-endpoints https://etcd1:2379,https://etcd2:2379",
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := flags.config(streams)
			if err != nil {
				return err
			}
			f, err := open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }() // only read
			got, err := controlplane.Restore(cmd.Context(), cfg, f)
			if err != nil {
				return err
			}
			return tell(streams, args[0], got)
		},
	}
	flags.add(cmd.Flags())
	return cmd
}

func open(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, term.Failf("give the path of a backup", "open backup: %w", err)
	}
	return f, nil
}

func tell(streams *term.Streams, path string, got controlplane.Backed) error {
	if streams.JSON {
		return streams.PrintJSON(map[string]any{
			"file": path, "installation": got.Header.Installation, "time": got.Header.Time, "revision": got.Header.Revision,
			"schema": got.Header.Schema, "keys": got.Keys, "records": got.Counts,
		})
	}
	return streams.Describe(
		term.Pair{Name: "file", Value: path}, term.Pair{Name: "installation", Value: got.Header.Installation},
		term.Pair{Name: "made", Value: got.Header.Time.Format(time.RFC3339)}, term.Pair{Name: "revision", Value: fmt.Sprint(got.Header.Revision)},
		term.Pair{Name: "keys", Value: fmt.Sprint(got.Keys)}, term.Pair{Name: "records", Value: strings.Join(got.Counts, ", ")})
}
