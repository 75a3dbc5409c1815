package cli

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

const (
	stockArg   = "CLUSTER"
	stockNames = "stockClusters/"
)

func (a *App) adminCluster() *cobra.Command {
	cmd := &cobra.Command{Use: "cluster", Short: "Have clusters of stock nats-servers follow the accounts"}
	cmd.AddCommand(a.stockList(), a.stockGet(), a.stockAdd(), a.stockRemove(), a.stockResync())
	return cmd
}

func (a *App) stockList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the clusters and how far each is", Args: term.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSession(func(s *session) error {
				r, err := adminv1.NewStockClusterServiceClient(s).ListStockClusters(cmd.Context(), &adminv1.ListStockClustersRequest{})
				if err != nil {
					return err
				}
				header := []string{"CLUSTER", "STATE", "SERVERS", "BEHIND", "FOREIGN", "VERIFIED", "LAST ERROR"}
				return showList(a, "stockClusters", r.GetStockClusters(), header, func(c *adminv1.StockCluster) []string {
					return []string{
						stockID(c), stateWord(c.GetState()), stockPresent(c), strconv.FormatInt(c.GetBehind(), 10),
						strconv.FormatInt(c.GetForeignAccounts(), 10), atOrNever(c.GetLastVerifyTime()), orElse(c.GetLastError(), "-"),
					}
				})
			})
		},
	}
}

func (a *App) stockGet() *cobra.Command {
	return &cobra.Command{
		Use: "get " + stockArg, Short: "Show a cluster and its servers", Args: term.Exactly(stockArg),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSession(func(s *session) error {
				r, err := adminv1.NewStockClusterServiceClient(s).GetStockCluster(cmd.Context(), &adminv1.GetStockClusterRequest{Name: stockName(args[0])})
				if err != nil {
					return err
				}
				return a.showStock(r.GetStockCluster())
			})
		},
	}
}

// stockFiles are the files that a cluster is added with.
type stockFiles struct{ creds, ca, cert, key string }

func (f stockFiles) read(c *adminv1.StockCluster) error {
	for _, part := range []struct {
		path string
		into *string
	}{{f.creds, &c.CredsFile}, {f.ca, &c.TlsCa}, {f.cert, &c.TlsCert}, {f.key, &c.TlsKey}} {
		if part.path == "" {
			continue
		}
		text, err := os.ReadFile(part.path)
		if err != nil {
			return term.Failf("name a file that you can read", "read file: %w", err)
		}
		*part.into = string(text)
	}
	return nil
}

func (a *App) stockAdd() *cobra.Command {
	in := &adminv1.StockCluster{}
	var files stockFiles
	var w stockWrite
	cmd := &cobra.Command{
		Use: "add " + stockArg, Short: "Have a cluster of stock nats-servers follow the accounts", Args: term.Exactly(stockArg),
		Long: `Have a cluster of stock nats-servers follow the accounts of this installation.
Its servers trust the operator and have a resolver { type: full, allow_delete: true }.
Operations wait for them from now on as they do for brokers. Without --creds the control
plane makes credentials of the system account for itself.`,
		Example: "  covey admin cluster add east --url tls://nats-1.example.com:4222 --url tls://nats-2.example.com:4222",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSession(func(s *session) error {
				if err := files.read(in); err != nil {
					return err
				}
				r, err := adminv1.NewStockClusterServiceClient(s).CreateStockCluster(cmd.Context(), &adminv1.CreateStockClusterRequest{
					StockClusterId: args[0], StockCluster: in, Reason: w.reason, RequestId: w.id, ValidateOnly: w.dry,
				})
				if err != nil {
					return err
				}
				return a.showStock(r.GetStockCluster())
			})
		},
	}
	cmd.Flags().StringSliceVar(&in.Urls, "url", nil, "nats:// or tls:// of a server; may be repeated")
	cmd.Flags().StringVar(&in.DisplayName, "display-name", "", "for people")
	cmd.Flags().StringVar(&files.creds, "creds", "", "credentials file of a user of the cluster's system account")
	cmd.Flags().StringVar(&files.ca, "tls-ca", "", "file with the certificates that the servers' are signed by")
	cmd.Flags().StringVar(&files.cert, "tls-cert", "", "file with the certificate to show to the servers")
	cmd.Flags().StringVar(&files.key, "tls-key", "", "file with its key")
	w.flags(cmd)
	return cmd
}

// stockWrite is what every change of a cluster takes.
type stockWrite struct {
	reason, id string
	dry        bool
}

func (w *stockWrite) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&w.reason, "reason", "", "why, for the audit log")
	cmd.Flags().StringVar(&w.id, "request-id", "", "the same id with the same request is carried out once")
	cmd.Flags().BoolVar(&w.dry, "dry-run", false, "check everything and change nothing")
}

func (a *App) stockRemove() *cobra.Command {
	var w stockWrite
	cmd := &cobra.Command{
		Use: "remove " + stockArg, Short: "Stop telling a cluster", Args: term.Exactly(stockArg),
		Long: "Stop telling a cluster.\nIts servers go on with the accounts that they have, for ever, and operations say nothing about them any more.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSession(func(s *session) error {
				r, err := adminv1.NewStockClusterServiceClient(s).DeleteStockCluster(cmd.Context(), &adminv1.DeleteStockClusterRequest{
					Name: stockName(args[0]), Reason: w.reason, RequestId: w.id, ValidateOnly: w.dry,
				})
				if err != nil {
					return err
				}
				if a.streams.JSON {
					return a.streams.PrintJSON(map[string]any{"removed": stockName(args[0]), "dry_run": w.dry})
				}
				return a.show(r, term.Pair{Name: "removed", Value: args[0]})
			})
		},
	}
	w.flags(cmd)
	return cmd
}

func (a *App) stockResync() *cobra.Command {
	var w stockWrite
	var forget bool
	cmd := &cobra.Command{
		Use: "resync " + stockArg, Short: "Compare a cluster at once and push everything to it", Args: term.Exactly(stockArg),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withSession(func(s *session) error {
				r, err := adminv1.NewStockClusterServiceClient(s).ResyncStockCluster(cmd.Context(), &adminv1.ResyncStockClusterRequest{
					Name: stockName(args[0]), ForgetAbsent: forget, Reason: w.reason, RequestId: w.id, ValidateOnly: w.dry,
				})
				if err != nil {
					return err
				}
				return a.showStock(r.GetStockCluster())
			})
		},
	}
	cmd.Flags().BoolVar(&forget, "forget-absent", false, "vouch that servers that do not answer serve nobody: operations stop waiting for them")
	w.flags(cmd)
	return cmd
}

func (a *App) showStock(c *adminv1.StockCluster) error {
	if a.streams.JSON {
		return a.show(c)
	}
	pairs := []term.Pair{
		{Name: "cluster", Value: stockID(c)},
		{Name: "urls", Value: strings.Join(c.GetUrls(), ", ")},
		{Name: "state", Value: stateWord(c.GetState())},
		{Name: "behind", Value: strconv.FormatInt(c.GetBehind(), 10)},
		{Name: "foreign accounts", Value: strconv.FormatInt(c.GetForeignAccounts(), 10)},
		{Name: "verified", Value: atOrNever(c.GetLastVerifyTime())},
	}
	if c.GetUnreachableSinceTime() != nil {
		pairs = append(pairs, term.Pair{Name: "unreachable since", Value: stamp(c.GetUnreachableSinceTime())})
	}
	if c.GetLastError() != "" {
		pairs = append(pairs, term.Pair{Name: "last error", Value: stamp(c.GetLastErrorTime()) + " " + c.GetLastError()})
	}
	for _, s := range c.GetServers() {
		word := "does not answer, last seen " + atOrNever(s.GetLastSeenTime())
		if s.GetPresent() {
			word = "answers"
		}
		pairs = append(pairs, term.Pair{
			Name: "server " + s.GetName(), Value: fmt.Sprintf("%s, version %s, acknowledged %d", word, orElse(s.GetVersion(), "-"), s.GetAcknowledgedRevision()),
		})
	}
	return a.streams.Describe(pairs...)
}

func stockID(c *adminv1.StockCluster) string { return strings.TrimPrefix(c.GetName(), stockNames) }

func stockName(id string) string { return stockNames + strings.TrimPrefix(id, stockNames) }

func stockPresent(c *adminv1.StockCluster) string {
	present := 0
	for _, s := range c.GetServers() {
		if s.GetPresent() {
			present++
		}
	}
	return fmt.Sprintf("%d of %d", present, len(c.GetServers()))
}
