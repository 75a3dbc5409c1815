package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/internal/lifecycle"
	"github.com/coveymq/covey/test/bench/load"
)

// The storm of connects, which comes from a process of its own, so that it does
// not hold up the client that is measured.
const (
	stormCommand = "storm" // the argument that makes this program the storm
	stormRate    = 5000    // connects a second
	stormDialers = 64      // that may be under way
	stormEnd     = 10 * time.Second

	// askEvery is the pause between two requests of the bystander. One without
	// pauses would compete with the storm for the processors.
	askEvery = time.Millisecond
)

// stormOrder tells the process what to do.
type stormOrder struct {
	Addr    string      `json:"addr"`
	Rate    int         `json:"rate"`
	Dialers int         `json:"dialers"`
	Users   []stormUser `json:"users"`
}

type stormUser struct {
	JWT  string `json:"jwt"`
	Seed []byte `json:"seed"`
}

func stormRow() Workload {
	return Workload{
		Name: "storm", Section: "tenants", Unit: "round trip", Figure: Harm, Target: 1, Limit: 150, Unmetered: true,
		Title: "request-reply p99 beside 5,000 JWT connects a second of 1,000 tenants, against alone",
		Setup: memoryTenants(few, few), Run: besideStorm,
	}
}

// besideStorm measures a bystander alone, and then beside a storm of connects of
// all others.
func besideStorm(ctx context.Context, b *bed) (load.Result, error) {
	all := b.dialer.Users
	b.dialer.Users = all[:1]
	alone, err := b.quiet(ctx, askEvery, b.ready)
	if err != nil {
		return alone, err
	}
	end, err := startStorm(ctx, stormOrder{Addr: b.dialer.Addr, Rate: stormRate, Dialers: stormDialers, Users: seeds(all[1:])})
	if err != nil {
		return alone, err
	}
	beside, err := b.quiet(ctx, askEvery, func(ctx context.Context) error { return rest(ctx, 2*settleTime) })
	storm, stormErr := end()
	if err := errors.Join(err, stormErr); err != nil {
		return beside, err
	}
	beside.Alone, beside.Beside = alone.Latency, storm
	return beside, nil
}

func seeds(users []*load.User) []stormUser {
	all := make([]stormUser, 0, len(users))
	for _, u := range users {
		if seed, err := u.Key.Seed(); err == nil { // of keys that we made
			all = append(all, stormUser{JWT: u.JWT, Seed: seed})
		}
	}
	return all
}

// startStorm starts the process. The function that it returns ends it, and tells
// what it did.
func startStorm(ctx context.Context, order stormOrder) (func() (*load.Storm, error), error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "nice", "-n", "19", self, stormCommand) //nolint:gosec // this program
	cmd.WaitDelay = stormEnd
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		err = json.NewEncoder(in).Encode(order)
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start the storm: %w", err)
	}
	return func() (*load.Storm, error) {
		defer cancel()
		storm := &load.Storm{}
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			return nil, fmt.Errorf("end the storm: %w", err)
		}
		if err := json.Unmarshal(out.Bytes(), storm); err != nil {
			return nil, fmt.Errorf("read what the storm did: %w", err)
		}
		return storm, nil
	}, nil
}

// runStorm is the process: it reads an order, connects until the input ends, and
// says what it did.
func runStorm(ctx context.Context, in io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(in)
	var order stormOrder
	if err := decoder.Decode(&order); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	d := load.Dialer{Addr: order.Addr}
	for _, u := range order.Users {
		key, err := nkeys.FromSeed(u.Seed)
		if err != nil {
			return fmt.Errorf("a user of the storm: %w", err)
		}
		d.Users = append(d.Users, &load.User{JWT: u.JWT, Key: key})
	}
	g := lifecycle.NewGroup(ctx)
	storming, stop := context.WithCancel(ctx)
	defer stop()
	g.Side(func(context.Context) error {
		defer stop()
		_, err := io.Copy(io.Discard, in)
		return err
	})
	storm := load.RunPaced(storming, d, order.Rate, order.Dialers)
	return errors.Join(g.Wait(), json.NewEncoder(out).Encode(storm))
}
