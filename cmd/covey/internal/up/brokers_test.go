package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coveymq/covey/cmd/covey/internal/term"
)

func TestBrokersJoinTheFirstAndDrainBeforeTheControlPlane(t *testing.T) {
	f := newFixture(t)
	f.opts.Brokers = 3
	var configs []BrokerConfig
	var fakes []*fakePart
	f.parts.Broker = func(_ context.Context, c BrokerConfig) (Broker, error) {
		b := newFake(t, f.journal, c.Name, "INFO {}\r\n")
		b.peers = 2
		configs, fakes = append(configs, c), append(fakes, b)
		return b, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &cancelWhenReady{cancel: cancel}
	f.streams.Out = out
	if err := f.run(ctx); err != nil {
		t.Fatal(err)
	}
	var ready struct {
		NATSURL string `json:"nats_url"`
		Brokers []place
	}
	if err := json.Unmarshal(out.Bytes(), &ready); err != nil {
		t.Fatal(err)
	}
	if len(ready.Brokers) != 3 || ready.NATSURL != fakes[0].ClientURL() {
		t.Errorf("ready = %+v", ready)
	}
	states := make(map[string]bool)
	for i, c := range configs {
		if len(c.Cluster.Seeds) != i || c.Cluster.Password.Reveal() == "" || c.Cluster.Password != configs[0].Cluster.Password {
			t.Errorf("broker %d has the cluster %+v", i, c.Cluster)
		}
		if i > 0 && !slices.Contains(c.Cluster.Seeds, fakes[0].RouteURL()) {
			t.Errorf("broker %d does not know the first: %v", i, c.Cluster.Seeds)
		}
		states[c.StateDir] = true
		if strings.Contains(fmt.Sprintf("%+v %#v", c, *c.Cluster), c.Cluster.Password.Reveal()) {
			t.Error("the password shows")
		}
	}
	if len(states) != 3 {
		t.Errorf("state directories are %v", states)
	}
	if got := f.journal.String(); !strings.HasSuffix(got, "-control") || strings.Count(got, "-local") != 3 {
		t.Errorf("order = %s", got)
	}
}

func TestOneBrokerHasNoCluster(t *testing.T) {
	f := newFixture(t)
	f.parts.Broker = func(_ context.Context, c BrokerConfig) (Broker, error) {
		if c.Cluster != nil || c.Name != brokerName {
			t.Errorf("the only broker is %+v", c)
		}
		return f.broker, nil
	}
	if _, err := f.runUntilReady(t); err != nil {
		t.Fatal(err)
	}
}

func TestBrokersThatDoNotMeetAreNotReady(t *testing.T) {
	f := newFixture(t)
	all := brokers{{Broker: f.broker, name: "a"}, {Broker: f.broker, name: "b"}}
	if err := all.meshed(); err == nil {
		t.Error("brokers without routes are ready")
	}
	f.broker.peers = 1
	if err := all.meshed(); err != nil {
		t.Error(err)
	}
}

func TestNumberOfBrokersIsChecked(t *testing.T) {
	for _, n := range []int{0, -1, brokersMax + 1} {
		f := newFixture(t)
		f.opts.Brokers = n
		err := f.run(t.Context())
		if fault, ok := errors.AsType[*term.Fault](err); !ok || fault.Code != term.ExitUsage {
			t.Errorf("--brokers %d: %v", n, err)
		}
	}
}
