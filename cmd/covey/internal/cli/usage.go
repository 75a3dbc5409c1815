package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

func (a *App) usageCommand() *cobra.Command {
	var in scope
	var since, until string
	cmd := &cobra.Command{
		Use: "usage", Short: "See what was counted", Args: term.Exactly(),
		Long: `See what was counted: messages and bytes accepted from publishers, and handed
to subscribers. Whole UTC hours are read. Without --since: this month.`,
		Example: "  covey usage --since 24h\n  covey usage --account orders --since 2026-11-01 --until 2026-11-30T23:59:59Z",
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			start, err := parseMoment("since", since, now)
			if err != nil {
				return err
			}
			end, err := parseMoment("until", until, now)
			if err != nil {
				return err
			}
			return a.withScope(scope{org: in.org}, func(s *session, merged scope) error {
				req := &apiv1.QueryUsageRequest{StartTime: start, EndTime: end}
				if req.Parent, err = merged.orgName(); err != nil {
					return err
				}
				if in.account != "" {
					if req.Account, err = merged.accountName(in.account); err != nil {
						return err
					}
				}
				return a.queryUsage(cmd.Context(), s, req)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.org, "org", "", "organization (default: the context's)")
	f.StringVar(&in.account, "account", "", "only this account (default: all)")
	f.StringVar(&since, "since", "", "from when: a time, a date, or how long ago")
	f.StringVar(&until, "until", "", "until when (default: now)")
	return cmd
}

// parseMoment reads RFC 3339 times, dates (in UTC) and durations into the past.
func parseMoment(flag, text string, now time.Time) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil // unset means the server's default
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return timestamppb.New(t), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return timestamppb.New(now.Add(-d)), nil
	}
	return nil, term.Usagef("for example 2026-11-01, 2026-11-01T08:00:00Z or 24h", "--%s %q is not a time", flag, text)
}

type accountUsage struct {
	Account           string  `json:"account"`
	AccountPublicKey  string  `json:"account_public_key"`
	PublishedMessages int64   `json:"published_messages"`
	PublishedBytes    int64   `json:"published_bytes"`
	DeliveredMessages int64   `json:"delivered_messages"`
	DeliveredBytes    int64   `json:"delivered_bytes"`
	ReportedTime      *string `json:"reported_time"`
}

func (a *App) queryUsage(ctx context.Context, s *session, req *apiv1.QueryUsageRequest) error {
	resp, err := apiv1.NewUsageServiceClient(s).QueryUsage(ctx, req)
	if err != nil {
		return err
	}
	if !a.streams.JSON {
		return a.usageTable(resp)
	}
	accounts := make([]accountUsage, 0, len(resp.GetAccounts()))
	for _, u := range resp.GetAccounts() {
		accounts = append(accounts, accountUsage{
			u.GetAccount(), u.GetAccountPublicKey(), u.GetPublishedMessages(), u.GetPublishedBytes(),
			u.GetDeliveredMessages(), u.GetDeliveredBytes(), stampJSON(u.GetReportedTime()),
		})
	}
	return a.streams.PrintJSON(struct {
		StartTime *string        `json:"start_time"`
		EndTime   *string        `json:"end_time"`
		Accounts  []accountUsage `json:"accounts"`
	}{stampJSON(resp.GetStartTime()), stampJSON(resp.GetEndTime()), accounts})
}

func (a *App) usageTable(resp *apiv1.QueryUsageResponse) error {
	a.streams.Sayf("%s to %s", stamp(resp.GetStartTime()), stamp(resp.GetEndTime()))
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	rows := make([][]string, 0, len(resp.GetAccounts()))
	for _, u := range resp.GetAccounts() {
		rows = append(rows, []string{
			lastSegment(u.GetAccount()), number(u.GetPublishedMessages()), number(u.GetPublishedBytes()),
			number(u.GetDeliveredMessages()), number(u.GetDeliveredBytes()), stamp(u.GetReportedTime()),
		})
	}
	return a.streams.Table([]string{"ACCOUNT", "PUBLISHED", "BYTES", "DELIVERED", "BYTES", "REPORTED"}, rows)
}
