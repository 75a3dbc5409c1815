package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// RunRequests lets each client send requests one after the other to the
// responder, which answers each, for the time given. Delivered counts the
// round trips. The connections serve for nothing else afterwards.
func RunRequests(ctx context.Context, clients []*Conn, responder *Conn, payload int, d time.Duration) (Result, error) {
	return RunPacedRequests(ctx, clients, responder, payload, 0, d)
}

// RunPacedRequests is RunRequests with a pause of that length between the
// requests of a client.
func RunPacedRequests(ctx context.Context, clients []*Conn, responder *Conn, payload int, every, d time.Duration) (Result, error) {
	if err := wait(responder, clients); err != nil {
		return Result{}, err
	}
	base := time.Now()
	total := Result{Latency: &Histogram{Base: base}}
	hists := make([]*Histogram, len(clients))
	errs := make([]error, len(clients)+1)
	var wg, answering sync.WaitGroup
	answering.Go(func() {
		defer responder.hurry()()
		errs[len(clients)] = respond(responder)
	})
	for i, c := range clients {
		hists[i] = &Histogram{Base: base}
		wg.Go(func() {
			defer c.hurry()()
			errs[i] = ask(ctx, c, i, payload, every, base.Add(d), hists[i])
			if errs[i] != nil {
				_ = responder.nc.SetReadDeadline(time.Unix(1, 0))
			}
		})
	}
	wg.Wait()
	total.Elapsed = time.Since(base)
	_ = responder.nc.SetReadDeadline(time.Unix(1, 0))
	answering.Wait()
	for _, h := range hists {
		total.Latency.Merge(h)
	}
	total.Delivered = int64(total.Latency.Count())
	total.Published = total.Delivered
	return total, errors.Join(errs...)
}

// wait lets a client that is alone, and its responder, wait in the kernel. Many
// would be many threads, which keep each other waiting for processors.
func wait(responder *Conn, clients []*Conn) error {
	if len(clients) > 1 {
		return nil
	}
	for _, c := range append([]*Conn{responder}, clients...) {
		if err := c.block(); err != nil {
			return err
		}
	}
	return nil
}

// RequestSubject is where the responder listens.
const RequestSubject = "bench.request"

// InboxOf is the subject on which the i-th client awaits its answers.
func InboxOf(i int) string { return fmt.Sprintf("_INBOX.bench.%d", i) }

// respond answers requests until its read deadline passes.
func respond(c *Conn) error {
	var out []byte
	c.OnMessage = func(line []byte) {
		f := bytes.Fields(line) // MSG subject sid reply size
		if len(f) == 5 {
			out = fmt.Appendf(out, "PUB %s 2\r\nok\r\n", f[3])
		}
	}
	for {
		_, err := c.Read(nil)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("responder: %w", err)
		}
		if len(out) > 0 {
			if err := c.Write(out); err != nil {
				return fmt.Errorf("responder: %w", err)
			}
			out = out[:0]
		}
	}
}

func ask(ctx context.Context, c *Conn, i, payload int, every time.Duration, end time.Time, h *Histogram) error {
	request := fmt.Appendf(nil, "PUB %s %s %d\r\n%s\r\n", RequestSubject, InboxOf(i), payload, bytes.Repeat([]byte("x"), payload))
	if err := c.nc.SetReadDeadline(end.Add(ioTimeout)); err != nil {
		return err
	}
	for time.Now().Before(end) && ctx.Err() == nil {
		sent := time.Now()
		if err := c.Write(request); err != nil {
			return fmt.Errorf("request: %w", err)
		}
		for got := 0; got < 1; {
			n, err := c.Read(nil)
			if err != nil {
				return fmt.Errorf("await answer: %w", err)
			}
			got += n.Messages
		}
		h.Record(time.Since(sent))
		if every > 0 {
			until(ctx, time.Now().Add(every))
		}
	}
	return ctx.Err()
}
