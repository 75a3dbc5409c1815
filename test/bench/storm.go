package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/coveymq/covey/test/bench/load"
)

// The storm of connects.
const (
	stormCommand = "storm" // the argument that makes this program the storm
	stormRate    = 5000    // connects a second
	stormDialers = 64      // that may be under way

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
	storming, err := startChild(ctx, stormCommand, stormOrder{Addr: b.dialer.Addr, Rate: stormRate, Dialers: stormDialers, Users: seeds(all[1:])})
	if err != nil {
		return alone, err
	}
	beside, err := b.quiet(ctx, askEvery, func(ctx context.Context) error { return rest(ctx, 2*settleTime) })
	storm := &load.Storm{}
	if err := errors.Join(err, storming.end(storm)); err != nil {
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

// runStorm is the process.
func runStorm(ctx context.Context, in *json.Decoder, out io.Writer) error {
	var order stormOrder
	if err := in.Decode(&order); err != nil {
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
	said := json.NewEncoder(out)
	if err := said.Encode(true); err != nil {
		return err
	}
	var storm load.Storm
	err := whileTold(ctx, in, func(ctx context.Context) error {
		storm = load.RunPaced(ctx, d, order.Rate, order.Dialers)
		return nil
	})
	if err != nil {
		return err
	}
	return said.Encode(storm)
}
