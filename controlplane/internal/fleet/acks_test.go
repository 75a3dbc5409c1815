package fleet

import (
	"log/slog"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"pgregory.net/rapid"

	"github.com/coveymq/covey/internal/testetcd"
)

func TestTableKeepsWhatEachSessionAcknowledged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wrote := make(map[int64]ack)
		for range rapid.IntRange(0, 40).Draw(t, "sessions") {
			wrote[rapid.Int64Range(1, 99).Draw(t, "number")] = ack{
				revision: rapid.Int64Range(1, 5).Draw(t, "revision"),
				at:       time.UnixMilli(rapid.Int64Range(0, 1<<40).Draw(t, "time")).UTC(),
			}
		}
		text, err := encodeTable(wrote)
		if err != nil {
			t.Fatal(err)
		}
		read, err := decodeTables([]*mvccpb.KeyValue{{Key: []byte(acksPrefix + "p"), Value: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		if len(read) != len(wrote) {
			t.Fatalf("%d sessions came back of %d", len(read), len(wrote))
		}
		for number, want := range wrote {
			if got := read[sessionName("p", number)]; got != want {
				t.Fatalf("session %d: %+v, want %+v", number, got, want)
			}
		}
	})
}

func TestWhoseAcknowledgementCounts(t *testing.T) {
	acks := map[string]ack{"p/1": {revision: 7}, "p/2": {revision: 9}}
	for name, tt := range map[string]struct {
		record Broker
		lease  string
		want   int64
	}{
		"of the session that has the lease":   {Broker{Session: "p/1", AckedRevision: 3}, "p/1", 7},
		"of the last session, after it ended": {Broker{Session: "p/1", AckedRevision: 3}, "", 7},
		"of none while another has the lease": {Broker{Session: "p/1", AckedRevision: 3}, "p/2", 3},
		"of the record, if it is further":     {Broker{Session: "p/1", AckedRevision: 8}, "p/1", 8},
		"of a record without a session":       {Broker{AckedRevision: 3}, "0c4e", 3},
		"of a session that is in no table":    {Broker{Session: "q/1", AckedRevision: 3}, "q/1", 3},
	} {
		t.Run(name, func(t *testing.T) {
			tt.record.acknowledge(acks, tt.lease)
			if tt.record.AckedRevision != tt.want {
				t.Errorf("acknowledged %d, want %d", tt.record.AckedRevision, tt.want)
			}
		})
	}
}

// The table waits until the last broker has come, because no operation is
// further before, but not for ever.
func TestWhenTheTableIsWritten(t *testing.T) {
	a := newAcks(nil, slog.New(slog.DiscardHandler))
	var numbers [3]int64
	brokers := []string{"a", "b", "c"}
	for i, b := range brokers {
		_, numbers[i] = a.name()
		a.begin(b, numbers[i], 10)
	}
	a.lowest = 10
	due := func(when string, wantNow, wantAny bool) {
		t.Helper()
		wait, ok := a.due(time.Now())
		if ok != wantAny || ok && (wait == 0) != wantNow {
			t.Errorf("%s: due %v in %v", when, ok, wait)
		}
	}
	due("nothing acknowledged", false, false)
	a.acknowledged("a", numbers[0], 10)
	due("acknowledged again what is known", false, false)
	a.acknowledged("a", numbers[0], 12)
	a.acknowledged("b", numbers[1], 12)
	if wait, ok := a.due(a.since); !ok || wait != ackWait {
		t.Errorf("one is behind: due %v in %v, want in %v", ok, wait, ackWait)
	}
	if wait, ok := a.due(a.since.Add(ackWait)); !ok || wait != 0 {
		t.Errorf("one stays behind: due %v in %v, want at once", ok, wait)
	}
	a.acknowledged("c", numbers[2], 11)
	due("all are further", true, true)
	a.take()
	due("taken", false, false)
	a.acknowledged("c", numbers[2], 12)
	due("the last has come", true, true)
	a.take()
	a.acknowledged("a", numbers[0], 13)
	a.acknowledged("b", numbers[1], 13)
	a.end("c", numbers[2])
	due("who was behind is gone", true, true)
	_, again := a.name()
	a.begin("c", again, 12)
	a.acknowledged("c", numbers[2], 99)
	if got := a.take(); got[numbers[2]].revision != 0 || got[numbers[0]].revision != 13 {
		t.Errorf("a session that is over still speaks: %v", got)
	}
}

// A write whose outcome was open must not undo a later one, and a table that
// was removed is made again.
func TestTheTableIsWrittenInOrder(t *testing.T) {
	etcd := testetcd.New(t)
	a := newAcks(etcd, slog.New(slog.DiscardHandler))
	name, number := a.name()
	a.begin("a", number, 0)
	acked := func() int64 {
		t.Helper()
		got, err := etcd.Get(t.Context(), acksPrefix+a.plane)
		if err != nil {
			t.Fatal(err)
		}
		acks, err := decodeTables(got.Kvs)
		if err != nil {
			t.Fatal(err)
		}
		return acks[name].revision
	}
	for i, meanwhile := range []func() error{
		func() error { return nil },
		func() error { a.written = 0; return nil }, // as after a write whose answer was lost
		func() error { _, err := etcd.Delete(t.Context(), acksPrefix+a.plane); return err },
	} {
		if err := meanwhile(); err != nil {
			t.Fatal(err)
		}
		want := int64(10 + i)
		a.acknowledged("a", number, want)
		if err := a.write(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := acked(); got != want {
			t.Errorf("step %d: the table says %d, want %d", i, got, want)
		}
	}
}
