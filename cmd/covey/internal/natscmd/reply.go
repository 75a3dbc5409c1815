package natscmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
)

type reply struct {
	kit

	dial    dialer
	headers []string
	queue   string
	count   int
	timeout time.Duration
}

func (k kit) replyCommand() *cobra.Command {
	r := &reply{kit: k}
	cmd := &cobra.Command{
		Use: "reply SUBJECT [BODY]", Short: "Answer requests; without BODY, with what was asked", Args: term.Between(1, "SUBJECT", "BODY"),
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args) },
	}
	r.dial.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVarP(&r.headers, "header", "H", nil, "header of the answer, 'Name: value'; repeat for more")
	f.StringVar(&r.queue, "queue", "covey-reply", "queue group that shares the requests")
	f.IntVar(&r.count, "count", 0, "stop after so many requests (default: on interrupt)")
	f.DurationVar(&r.timeout, "timeout", 0, "stop after this time (default: never)")
	return cmd
}

func (r *reply) run(ctx context.Context, args []string) error {
	header, err := parseHeaders(r.headers)
	if err != nil {
		return err
	}
	nc, err := r.connect(&r.dial, "covey reply", nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	requests, err := nc.QueueSubscribeSync(args[0], r.queue)
	if err != nil {
		return serverFault(fmt.Errorf("subscribe: %w", err))
	}
	if err := settled(nc, r.dial.connectTimeout); err != nil {
		return err
	}
	r.streams.Sayf("Answering on %s.", args[0])
	answered, err := r.serve(ctx, requests, header, args[1:])
	if settleErr := settled(nc, r.dial.connectTimeout); err == nil && !nc.IsReconnecting() {
		err = settleErr
	}
	if err == nil && r.streams.JSON {
		return r.streams.PrintJSON(map[string]int{"answered": answered})
	}
	r.streams.Sayf("Answered %d requests.", answered)
	return err
}

func (r *reply) serve(ctx context.Context, requests *nats.Subscription, header nats.Header, body []string) (answered int, err error) {
	parent := ctx
	if r.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.timeout)
		defer cancel()
	}
	for r.count == 0 || answered < r.count {
		m, err := requests.NextMsgWithContext(ctx)
		switch {
		case err != nil && parent.Err() != nil:
			return answered, nil // asked to stop
		case errors.Is(err, context.DeadlineExceeded) && r.count > 0:
			return answered, term.Partialf("", "%d of %d requests came within %s", answered, r.count, r.timeout)
		case errors.Is(err, context.DeadlineExceeded):
			return answered, nil
		case err != nil:
			return answered, serverFault(fmt.Errorf("receive request: %w", err))
		case m.Reply == "":
			continue // a plain message: there is nobody to answer
		}
		answer := &nats.Msg{Header: header, Data: m.Data}
		if len(body) > 0 {
			answer.Data = []byte(body[0])
		}
		if err := m.RespondMsg(answer); err != nil {
			return answered, serverFault(fmt.Errorf("answer: %w", err))
		}
		answered++
	}
	return answered, nil
}
