package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coveymq/covey/internal/lifecycle"
)

// childEnd is how long a child may take to end when it is told to.
const childEnd = 30 * time.Second

// child is a process of this program that loads a server beside somebody whose
// latency is measured. It gets only what time of the processors nobody else
// wants. In the process of the one who is measured it would hold up that one's
// goroutines, and on processors that it shares with the broker both: then the
// figure would be the generator's.
//
// It reads an order from its standard input, says when it has begun, works until
// the input ends, and says what it did.
type child struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	in     io.Closer
	out    *json.Decoder
}

// children are the children that there are, by the argument that makes them.
func children() map[string]func(context.Context, *json.Decoder, io.Writer) error {
	return map[string]func(context.Context, *json.Decoder, io.Writer) error{stormCommand: runStorm, floodCommand: runFlood}
}

// startChild starts a child and waits until it has begun.
func startChild(ctx context.Context, name string, order any) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	c := &child{}
	ctx, c.cancel = context.WithCancel(ctx)
	c.cmd = exec.CommandContext(ctx, self, name) //nolint:gosec // this program
	c.cmd.WaitDelay, c.cmd.Stderr = childEnd, os.Stderr
	err = c.start(ctx, order)
	var begun bool
	if err == nil {
		err = c.out.Decode(&begun)
	}
	if err != nil {
		c.cancel()
		return nil, fmt.Errorf("start the %s: %w", name, err)
	}
	return c, nil
}

func (c *child) start(ctx context.Context, order any) error {
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	c.out = json.NewDecoder(out)
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return err
	}
	c.in = in
	if err := startIdle(ctx, c.cmd); err != nil {
		return err
	}
	return json.NewEncoder(in).Encode(order)
}

// end ends the child and reads what it did.
func (c *child) end(result any) error {
	defer c.cancel()
	err := errors.Join(c.in.Close(), c.out.Decode(result), c.cmd.Wait())
	if err != nil {
		return fmt.Errorf("end the %s: %w", c.cmd.Args[1], err)
	}
	return nil
}

// startIdle starts a command that runs when nobody else does: a processor that it
// has is as good as idle to all others. That is a property of a thread, which its
// children inherit; the thread ends with the goroutine that is locked to it.
func startIdle(ctx context.Context, cmd *exec.Cmd) error {
	g := lifecycle.NewGroup(ctx)
	g.Side(func(context.Context) error {
		runtime.LockOSThread()
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
		if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
			return fmt.Errorf("run as idle: %w", err)
		}
		return cmd.Start()
	})
	return g.Wait()
}

// whileTold runs f until the input ends.
func whileTold(ctx context.Context, in *json.Decoder, f func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g := lifecycle.NewGroup(ctx)
	g.Side(func(context.Context) error {
		defer stop()
		var more any
		if err := in.Decode(&more); !errors.Is(err, io.EOF) {
			return fmt.Errorf("more input than the order: %w", err)
		}
		return nil
	})
	g.Side(f)
	return g.Wait()
}
