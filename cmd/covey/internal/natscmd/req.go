package natscmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
)

type req struct {
	kit

	dial    dialer
	headers []string
	replies int
	timeout time.Duration
}

const requestTimeoutDefault = 5 * time.Second

func (k kit) reqCommand() *cobra.Command {
	r := &req{kit: k}
	cmd := &cobra.Command{
		Use: "req SUBJECT [BODY]", Short: "Send a request and print its answer", Args: term.Between(1, "SUBJECT", "BODY"),
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args) },
	}
	r.dial.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVarP(&r.headers, "header", "H", nil, "header, 'Name: value'; repeat for more")
	f.IntVar(&r.replies, "replies", 1, "how many answers to wait for")
	f.DurationVar(&r.timeout, "timeout", requestTimeoutDefault, "how long to wait for them")
	return cmd
}

func (r *req) run(ctx context.Context, args []string) error {
	header, err := parseHeaders(r.headers)
	if err != nil {
		return err
	}
	if r.replies < 1 {
		return term.Usagef("", "--replies %d is less than 1", r.replies)
	}
	nc, err := r.connect(&r.dial, "covey req", nats.NoReconnect())
	if err != nil {
		return err
	}
	defer nc.Close()
	body, err := r.body(args[1:], nc.MaxPayload())
	if err != nil {
		return err
	}
	inbox := nc.NewRespInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		return serverFault(fmt.Errorf("subscribe to answers: %w", err))
	}
	if err := nc.PublishMsg(&nats.Msg{Subject: args[0], Reply: inbox, Header: header, Data: body}); err != nil {
		return serverFault(fmt.Errorf("send request: %w", err))
	}
	if err := settled(nc, r.timeout); err != nil {
		return err
	}
	return r.collect(ctx, answers)
}

func (r *req) collect(ctx context.Context, answers *nats.Subscription) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	for got := range r.replies {
		m, err := answers.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && got > 0:
			return term.Partialf("", "%d of %d answers came within %s", got, r.replies, r.timeout)
		case errors.Is(err, context.DeadlineExceeded):
			return term.Failf("is the responder slow? give it longer with --timeout", "no answer came within %s", r.timeout)
		case err != nil:
			return serverFault(fmt.Errorf("receive answer: %w", err))
		case isNoResponders(m):
			return serverFault(nats.ErrNoResponders)
		}
		if err := r.print(m); err != nil {
			return err
		}
	}
	return nil
}

// isNoResponders recognises the server's answer when nobody is subscribed: an
// empty message with status 503.
func isNoResponders(m *nats.Msg) bool {
	return len(m.Data) == 0 && m.Header.Get("Status") == "503"
}

func (r *req) print(m *nats.Msg) error {
	if r.streams.JSON {
		return r.streams.PrintJSON(lineOf(m))
	}
	out := bufio.NewWriter(r.streams.Out)
	_, _ = out.Write(m.Data)
	_ = out.WriteByte('\n') // the writer keeps its first error
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}
