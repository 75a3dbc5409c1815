package natscmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
)

type sub struct {
	kit

	dial    dialer
	queue   string
	count   int
	raw     bool
	timeout time.Duration
}

func (k kit) subCommand() *cobra.Command {
	s := &sub{kit: k}
	cmd := &cobra.Command{
		Use: "sub SUBJECT", Short: "Print messages as they come", Args: term.Exactly("SUBJECT"),
		Example: "  covey sub '>'\n  covey sub orders.new --queue workers --count 10 --json",
		RunE:    func(cmd *cobra.Command, args []string) error { return s.run(cmd.Context(), args[0]) },
	}
	s.dial.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&s.queue, "queue", "", "join this queue group")
	f.IntVar(&s.count, "count", 0, "stop after so many messages (default: on interrupt)")
	f.BoolVar(&s.raw, "raw", false, "print bodies only, each on a line")
	f.DurationVar(&s.timeout, "timeout", 0, "stop after this time (default: never)")
	return cmd
}

func (s *sub) run(ctx context.Context, subject string) error {
	nc, err := s.connect(&s.dial, "covey sub", nats.MaxReconnects(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				s.streams.Sayf("disconnected: %v; reconnecting", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { s.streams.Sayf("reconnected to %s", nc.ConnectedUrlRedacted()) }))
	if err != nil {
		return err
	}
	defer nc.Close()
	incoming, err := nc.QueueSubscribeSync(subject, s.queue)
	if err != nil {
		return serverFault(fmt.Errorf("subscribe: %w", err))
	}
	if err := settled(nc, s.dial.connectTimeout); err != nil {
		return err
	}
	s.streams.Sayf("Listening on %s.", subject)
	return s.read(ctx, incoming)
}

// read prints until count, timeout or interrupt.
func (s *sub) read(ctx context.Context, incoming *nats.Subscription) error {
	parent := ctx
	if s.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	out := bufio.NewWriter(s.streams.Out)
	defer func() { _ = out.Flush() }() // its error is reported where it is flushed below
	for got := 0; s.count == 0 || got < s.count; got++ {
		msg, err := incoming.NextMsgWithContext(ctx)
		switch {
		case err != nil && parent.Err() != nil:
			return nil // asked to stop
		case errors.Is(err, context.DeadlineExceeded):
			return s.timedOut(got)
		case err != nil:
			return serverFault(fmt.Errorf("receive: %w", err))
		}
		if err := s.print(out, got+1, msg); err != nil {
			return err
		}
		if waiting, _, _ := incoming.Pending(); waiting == 0 { // nobody waits for what is printed
			if err := out.Flush(); err != nil {
				return fmt.Errorf("write message: %w", err)
			}
		}
	}
	return nil
}

func (s *sub) timedOut(got int) error {
	switch {
	case s.count == 0:
		return nil
	case got == 0:
		return term.Failf("", "no message came within %s", s.timeout)
	default:
		return term.Partialf("", "%d of %d messages came within %s", got, s.count, s.timeout)
	}
}

func (s *sub) print(out *bufio.Writer, n int, m *nats.Msg) error {
	var err error
	switch {
	case s.streams.JSON:
		err = json.NewEncoder(out).Encode(lineOf(m))
	case s.raw:
		_, err = out.Write(append(m.Data, '\n'))
	default:
		err = printForPeople(out, n, m)
	}
	if err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	return nil
}

func printForPeople(out *bufio.Writer, n int, m *nats.Msg) error {
	_, _ = fmt.Fprintf(out, "[#%d] %s", n, term.Clean(m.Subject)) // the writer keeps its first error
	if m.Reply != "" {
		_, _ = fmt.Fprintf(out, " (reply to %s)", term.Clean(m.Reply))
	}
	_, _ = fmt.Fprintln(out)
	for name, values := range m.Header {
		for _, v := range values {
			_, _ = fmt.Fprintf(out, "%s: %s\n", term.Clean(name), term.Clean(v))
		}
	}
	_, err := fmt.Fprintf(out, "%s\n", m.Data)
	return err
}
