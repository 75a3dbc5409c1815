package natscmd

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/coveymq/covey/cmd/covey/internal/term"
)

type bench struct {
	kit

	dial       dialer
	publishers int
	receivers  int
	messages   int64
	size       int
	queue      string
	request    bool
	timeout    time.Duration
}

// Bounds and defaults of a benchmark.
const (
	benchMessages     = 100_000
	benchSize         = 128
	benchSizeMin      = 16 // room for publisher and sequence
	benchClientsMax   = 10_000
	benchTimeout      = time.Minute
	benchMessagesMax  = 1 << 40
	benchPayloadBytes = 64 << 20 // what a server may take at most
)

func (k kit) benchCommand() *cobra.Command {
	b := &bench{kit: k}
	cmd := &cobra.Command{
		Use: "bench [SUBJECT]", Short: "Measure throughput, counting every message", Args: term.Between(0, "SUBJECT"),
		Long: `Measure throughput, counting every message.

Publishers share --msgs messages; each receiver gets all of them, or all
receivers together when --queue is given. Order per publisher is checked. With
--request every message is a request that a receiver answers.

Exit code 6 means that some messages did not arrive within --timeout.`,
		Example: "  covey bench --msgs 1000000 --pub 2 --sub 2\n  covey bench --request --pub 8 --msgs 50000",
		RunE: func(cmd *cobra.Command, args []string) error {
			subject := "covey.bench." + nats.NewInbox()[len(nats.InboxPrefix):]
			if len(args) == 1 {
				subject = args[0]
			}
			return b.run(cmd.Context(), subject)
		},
	}
	b.dial.flags(cmd)
	f := cmd.Flags()
	f.IntVar(&b.publishers, "pub", 1, "publishing connections")
	f.IntVar(&b.receivers, "sub", 1, "receiving connections")
	f.Int64Var(&b.messages, "msgs", benchMessages, "messages to publish, all publishers together")
	f.IntVar(&b.size, "size", benchSize, "bytes of one message, at least 16")
	f.StringVar(&b.queue, "queue", "", "receivers share the messages in this queue group")
	f.BoolVar(&b.request, "request", false, "measure requests and their answers")
	f.DurationVar(&b.timeout, "timeout", benchTimeout, "how long the whole may take")
	return cmd
}

func (b *bench) check() error {
	switch {
	case b.size < benchSizeMin || b.size > benchPayloadBytes:
		return term.Usagef("", "--size %d is not in %d to %d", b.size, benchSizeMin, benchPayloadBytes)
	case b.messages < 1 || b.messages > benchMessagesMax:
		return term.Usagef("", "--msgs %d is not in 1 to %d", b.messages, int64(benchMessagesMax))
	case b.publishers < 0 || b.receivers < 0 || b.publishers+b.receivers == 0 || b.publishers+b.receivers > benchClientsMax:
		return term.Usagef("", "--pub and --sub together are not in 1 to %d", benchClientsMax)
	case b.request && b.publishers == 0:
		return term.Usagef("", "--request takes at least one --pub")
	}
	return nil
}

// result is what a benchmark found. Rates are per second.
type result struct {
	Subject       string  `json:"subject"`
	Size          int     `json:"size"`
	Published     int64   `json:"published"`
	Expected      int64   `json:"expected"`
	Received      int64   `json:"received"`
	OutOfOrder    int64   `json:"out_of_order"`
	Seconds       float64 `json:"seconds"`
	PublishRate   float64 `json:"publish_rate"`
	ReceiveRate   float64 `json:"receive_rate"`
	LatencyMean   float64 `json:"latency_mean_seconds,omitempty"`
	LatencyMedian float64 `json:"latency_median_seconds,omitempty"`
	LatencyP99    float64 `json:"latency_p99_seconds,omitempty"`
}

func (b *bench) run(ctx context.Context, subject string) error {
	if err := b.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	var res *result
	var err error
	if b.request {
		res, err = b.measureRequests(ctx, subject)
	} else {
		res, err = b.measureStream(ctx, subject)
	}
	if err != nil {
		return serverFault(err)
	}
	if err := b.report(res); err != nil {
		return err
	}
	if res.Received != res.Expected || res.OutOfOrder != 0 {
		return term.Partialf("", "%d of %d messages arrived, %d out of order", res.Received, res.Expected, res.OutOfOrder)
	}
	return nil
}

func (b *bench) report(r *result) error {
	if b.streams.JSON {
		return b.streams.PrintJSON(r)
	}
	pairs := []term.Pair{
		{Name: "published", Value: fmt.Sprintf("%d of %d B, %.0f/s, %.1f MiB/s", r.Published, r.Size, r.PublishRate, mebibytes(r.PublishRate, r.Size))},
		{Name: "received", Value: fmt.Sprintf("%d of %d, %.0f/s, %.1f MiB/s", r.Received, r.Expected, r.ReceiveRate, mebibytes(r.ReceiveRate, r.Size))},
		{Name: "out of order", Value: fmt.Sprint(r.OutOfOrder)},
		{Name: "seconds", Value: fmt.Sprintf("%.3f", r.Seconds)},
	}
	if r.LatencyMean > 0 {
		pairs = append(pairs, term.Pair{Name: "latency", Value: fmt.Sprintf("mean %s, median %s, p99 %s",
			seconds(r.LatencyMean), seconds(r.LatencyMedian), seconds(r.LatencyP99))})
	}
	return b.streams.Describe(pairs...)
}

func mebibytes(rate float64, size int) float64 { return rate * float64(size) / (1 << 20) }

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond)
}

// share splits total into parts that differ by one at most.
func share(total int64, parts, i int) int64 {
	n := total / int64(parts)
	if int64(i) < total%int64(parts) {
		n++
	}
	return n
}

func rate(n int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}
