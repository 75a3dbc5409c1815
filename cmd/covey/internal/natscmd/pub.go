package natscmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
)

type pub struct {
	kit

	dial    dialer
	headers []string
	reply   string
	count   int
	lines   bool
	timeout time.Duration
}

const flushTimeoutDefault = 10 * time.Second

func (k kit) pubCommand() *cobra.Command {
	p := &pub{kit: k}
	cmd := &cobra.Command{
		Use: "pub SUBJECT [BODY]", Short: "Publish messages", Args: term.Between(1, "SUBJECT", "BODY"),
		Long: `Publish messages. Without BODY, or with -, the body is standard input.

Exit code 0 means that the server took every message and refused none.`,
		Example: "  covey pub orders.new '{\"id\": 1}' -H 'Trace-Id: 42'\n  covey pub log --lines < app.log",
		RunE:    func(cmd *cobra.Command, args []string) error { return p.run(cmd.Context(), args) },
	}
	p.dial.flags(cmd)
	f := cmd.Flags()
	f.StringArrayVarP(&p.headers, "header", "H", nil, "header, 'Name: value'; repeat for more")
	f.StringVar(&p.reply, "reply", "", "reply subject")
	f.IntVar(&p.count, "count", 1, "how many times")
	f.BoolVar(&p.lines, "lines", false, "each line of standard input is one message")
	f.DurationVar(&p.timeout, "timeout", flushTimeoutDefault, "how long the server may take to confirm")
	return cmd
}

func (p *pub) run(ctx context.Context, args []string) error {
	header, err := parseHeaders(p.headers)
	if err != nil {
		return err
	}
	if p.count < 1 {
		return term.Usagef("", "--count %d is less than 1", p.count)
	}
	if p.lines && len(args) > 1 {
		return term.Usagef("leave BODY out", "--lines reads standard input")
	}
	nc, err := p.connect(&p.dial, "covey pub", nats.NoReconnect())
	if err != nil {
		return err
	}
	defer nc.Close()
	sent := totals{Subject: args[0]}
	if p.lines {
		err = p.publishLines(ctx, nc, header, &sent)
	} else {
		err = p.publishBody(ctx, nc, header, args[1:], &sent)
	}
	if settleErr := settled(nc, p.timeout); err == nil || errors.Is(err, nats.ErrConnectionClosed) {
		err = settleErr
	}
	if err != nil {
		return serverFault(err)
	}
	if p.streams.JSON {
		return p.streams.PrintJSON(sent)
	}
	p.streams.Sayf("Published %d messages, %d bytes, to %s.", sent.Messages, sent.Bytes, sent.Subject)
	return nil
}

type totals struct {
	Subject  string `json:"subject"`
	Messages int64  `json:"messages"`
	Bytes    int64  `json:"bytes"`
}

func (p *pub) publishBody(ctx context.Context, nc *nats.Conn, h nats.Header, args []string, sent *totals) error {
	body, err := p.body(args, nc.MaxPayload())
	if err != nil {
		return err
	}
	for range p.count {
		if err := p.publish(ctx, nc, h, body, sent); err != nil {
			return err
		}
	}
	return nil
}

func (p *pub) publishLines(ctx context.Context, nc *nats.Conn, h nats.Header, sent *totals) error {
	in := bufio.NewScanner(p.streams.In)
	in.Buffer(nil, int(min(nc.MaxPayload(), 1<<30))+2) // and its line end
	for in.Scan() {
		for range p.count {
			if err := p.publish(ctx, nc, h, in.Bytes(), sent); err != nil {
				return err
			}
		}
	}
	if err := in.Err(); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read standard input: %w", err)
	}
	return nil
}

func (p *pub) publish(ctx context.Context, nc *nats.Conn, h nats.Header, body []byte, sent *totals) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	msg := &nats.Msg{Subject: sent.Subject, Reply: p.reply, Header: h, Data: body}
	if err := nc.PublishMsg(msg); err != nil {
		return err
	}
	sent.Messages++
	sent.Bytes += int64(len(body))
	return nil
}
