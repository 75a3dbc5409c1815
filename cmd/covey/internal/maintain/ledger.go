package maintain

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	"github.com/coveymq/covey/controlplane"
)

func ledgerCommand(streams *term.Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "ledger", Short: "See to the ledger of usage and audit"}
	cmd.AddCommand(ledgerCopy(streams))
	return cmd
}

func ledgerCopy(streams *term.Streams) *cobra.Command {
	var flags storeFlags
	var to string
	cmd := &cobra.Command{
		Use: "copy", Short: "Move the ledger from the data directory into Postgres", Args: term.Exactly(),
		Long: `Move the ledger from the data directory into an empty Postgres database: copy every row, verify counts,
sums and a digest of every row, and make the copy the installation's ledger, in one step. The control plane
must be stopped; brokers serve on, and report afterwards what they counted meanwhile. Cut off, it goes on where it
was when it is run again. The file stays as it is, and no control plane starts with it any more.`,
		Example: "  covey admin ledger copy --data /var/lib/covey --to-url-file /etc/covey/ledger-url\n" +
			"  covey-controlplane --data /var/lib/covey --ledger-url-file /etc/covey/ledger-url",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return term.Usagef("give a file with the URL of an empty Postgres database", "--to-url-file is missing")
			}
			cfg, err := flags.config(streams)
			if err != nil {
				return err
			}
			if cfg.LedgerURL, err = controlplane.ReadSecret(to); err != nil {
				return err
			}
			out, err := controlplane.CopyLedger(cmd.Context(), cfg, func(table string, rows int64) {
				if rows%100_000 == 0 {
					streams.Sayf("%s: %d rows", table, rows)
				}
			})
			if err != nil {
				return err
			}
			return tellCopied(streams, out)
		},
	}
	flags.add(cmd.Flags())
	flags.custodian(cmd.Flags())
	cmd.Flags().StringVar(&to, "to-url-file", "", "file with the URL of the Postgres database")
	return cmd
}

func tellCopied(streams *term.Streams, out controlplane.CopiedLedger) error {
	if streams.JSON {
		tables := make([]map[string]any, 0, len(out.Tables))
		for _, t := range out.Tables {
			tables = append(tables, map[string]any{"name": t.Name, "rows": t.Rows, "sum": strconv.FormatInt(t.Sum, 10), "digest": t.Digest})
		}
		return streams.PrintJSON(map[string]any{"from": out.From, "to": out.To, "tables": tables})
	}
	if len(out.Tables) == 0 {
		streams.Sayf("The copy is the installation's ledger already: %s", out.To)
		return nil
	}
	pairs := []term.Pair{{Name: "from", Value: out.From}, {Name: "to", Value: out.To}}
	for _, t := range out.Tables {
		pairs = append(pairs, term.Pair{Name: t.Name, Value: strconv.FormatInt(t.Rows, 10) + " rows, equal"})
	}
	return streams.Describe(pairs...)
}
