package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coveymq/covey/test/bench/load"
	"github.com/coveymq/covey/test/conformance/proc"
)

const floodCommand = "flood" // the argument that makes this program the noisy tenant

// flood is what the noisy tenant does.
func flood() shape { return shape{flows: 1, fanout: 20, size: 128, window: 1024, batch: 64} }

// floodOrder tells the process what to do.
type floodOrder struct {
	Addr string `json:"addr"`
	Far  string `json:"far"` // where subscribers are, if not there
	User string `json:"user"`
}

// floodResult is what it did.
type floodResult struct {
	Delivered int64 `json:"delivered"`
}

// startFlood lets a tenant flood the servers.
func startFlood(ctx context.Context, b *bed, user string) (*child, error) {
	order := floodOrder{Addr: b.server.Addr, User: user}
	if b.far != nil {
		order.Far = b.far.Addr
	}
	return startChild(ctx, floodCommand, order)
}

// runFlood is the process.
func runFlood(ctx context.Context, in *json.Decoder, out io.Writer) error {
	var order floodOrder
	if err := in.Decode(&order); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	b := &bed{dialer: load.Dialer{Addr: order.Addr, Name: order.User, Buffer: readBuffer}}
	b.server = &proc.Server{Addr: order.Addr}
	if order.Far != "" {
		b.far = &proc.Server{Addr: order.Far}
	}
	defer b.close()
	flow, err := flood().flow(ctx, b, 0)
	if err == nil && b.far != nil {
		err = b.crossed("bench.noisy", nats.UserInfo(order.User, order.User))
	}
	if err != nil {
		return err
	}
	said := json.NewEncoder(out)
	if err := said.Encode(true); err != nil {
		return err
	}
	var done floodResult
	err = whileTold(ctx, in, func(ctx context.Context) error {
		for ctx.Err() == nil { // windows keep it bounded
			result, err := load.RunFlows(ctx, []*load.Flow{flow}, time.Minute)
			done.Delivered += result.Delivered
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return said.Encode(done)
}
