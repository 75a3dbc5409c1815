package ration

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/dataplane/internal/limit"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

var start = time.Unix(1_000_000, 0)

// site is an account at one broker.
type site struct {
	gate    *limit.Gate
	members int
	table   *Table
	id      string
	asks    float64 // a second, now
	owed    float64
	got     int64
}

func (s *site) Rates() []limit.Rate { return s.gate.Rates() }
func (s *site) Members() int        { return s.members }

// world is a cluster with one account and a clock of its own.
type world struct {
	t     interface{ Fatalf(string, ...any) }
	now   time.Duration
	sites []*site
	mail  letters
	seq   int
	rng   *rand.Rand
	lose  func(from, to int) bool
	quota accounts.Quota
	late  time.Duration // the most that a word takes
	// What was admitted until each millisecond.
	admitted []int64
}

type letter struct {
	at    time.Duration
	seq   int
	to    int
	from  string
	words []byte
}

type letters []letter

func (l letters) Len() int { return len(l) }
func (l letters) Less(i, j int) bool {
	return l[i].at < l[j].at || l[i].at == l[j].at && l[i].seq < l[j].seq
}
func (l letters) Swap(i, j int) { l[i], l[j] = l[j], l[i] }
func (l *letters) Push(x any)   { *l = append(*l, x.(letter)) }
func (l *letters) Pop() any {
	last := (*l)[len(*l)-1]
	*l = (*l)[:len(*l)-1]
	return last
}

func newWorld(t interface{ Fatalf(string, ...any) }, n int, q accounts.Quota, seed uint64, late time.Duration) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), quota: q, late: late}
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprint("broker", i))
	}
	for i := range n {
		s := &site{gate: limit.NewGate(nil, accounts.Quotas{accounts.MessagesIn: q}, nil, start), table: NewTable(), id: ids[i], members: 1}
		kin := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == s.id })
		s.table.Kin(kin, func(func(string, Account)) {})
		s.table.Joined("A", s, start)
		w.sites = append(w.sites, s)
	}
	return w
}

func (w *world) clock() time.Time { return start.Add(w.now) }

// step is a millisecond.
func (w *world) step() {
	for i, s := range w.sites {
		// Not all at the same time.
		if (w.now+time.Duration(i)*37*time.Millisecond)%Interval == 0 {
			w.send(i, s.table.Tick(w.clock()))
		}
	}
	for len(w.mail) > 0 && w.mail[0].at <= w.now {
		l, _ := heap.Pop(&w.mail).(letter)
		var words []Word
		if err := json.Unmarshal(l.words, &words); err != nil {
			w.t.Fatalf("%v", err)
		}
		w.sites[l.to].table.Hear(l.from, words, w.clock())
	}
	for _, s := range w.sites {
		for s.owed += s.asks / 1000; s.owed >= 1; s.owed-- {
			if s.gate.Publish(1, w.clock()).Admits() {
				s.got++
			}
		}
	}
	w.now += time.Millisecond
	w.admitted = append(w.admitted, w.sum())
}

// sum is what was admitted so far.
func (w *world) sum() (n int64) {
	for _, s := range w.sites {
		n += s.got
	}
	return n
}

func (w *world) send(from int, words []Word) {
	if len(words) == 0 {
		return
	}
	b, err := json.Marshal(words)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	for to := range w.sites {
		if to == from || w.lose != nil && w.lose(from, to) {
			continue
		}
		w.seq++
		heap.Push(&w.mail, letter{w.now + time.Duration(w.rng.Int64N(int64(w.late))), w.seq, to, w.sites[from].id, b})
	}
}

func (w *world) run(d time.Duration) {
	for end := w.now + d; w.now < end; {
		w.step()
	}
}

// worst returns by how much any span of time had more than its rate gives.
func (w *world) worst() float64 {
	perMS := float64(w.quota.Amount) / 1000
	least, worst := 0.0, 0.0
	for i, n := range w.admitted {
		at := float64(n) - perMS*float64(i)
		least = min(least, at)
		worst = max(worst, at-least)
	}
	return worst
}

func quota(t interface{ Fatalf(string, ...any) }, rate, burst int64, policy accounts.Policy) accounts.Quota {
	q, err := accounts.NewQuota(accounts.MessagesIn, accounts.Quota{Amount: rate, Burst: burst, Policy: policy})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return q
}

// TestTogetherTheyAdmitWhatOneWould lets an account ask for random amounts at up
// to four brokers, with words that take up to 90 ms. In no span of time is more
// admitted than its rate gives and one burst, and 2 % of a second's worth; and
// while it asks for much more than its rate somewhere, it gets four fifths of that
// at least.
func TestTogetherTheyAdmitWhatOneWould(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 20
	}
	most, least := 0.0, 1.0
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 2))
		n := 2 + rng.IntN(3)
		rate := 100 + rng.Int64N(1000)
		burst := rate/20 + rng.Int64N(rate)
		w := newWorld(t, n, quota(t, rate, burst, accounts.Refuse), seed, 90*time.Millisecond)
		var busy time.Duration // how long there was more than enough, and what came of it
		var got int64
		for range 6 {
			high := 0.0
			for _, s := range w.sites {
				s.asks = float64(rate) * []float64{0, 0, 0.1, 0.3, 1, 1.5, 3}[rng.IntN(7)]
				high = max(high, s.asks)
			}
			w.run(time.Duration(100+rng.IntN(1000)) * time.Millisecond)
			if high < 1.5*float64(rate) {
				continue
			}
			w.run(time.Second) // it takes a moment until the others know
			before := w.sum()
			w.run(2 * time.Second)
			busy += 2 * time.Second
			got += w.sum() - before
		}
		over := (w.worst() - float64(burst)) / float64(rate)
		most = max(most, over)
		if over > 0.02 {
			t.Errorf("seed %d: %.0f %% of the rate of %d more than it gives and a burst of %d, at %d brokers", seed, 100*over, rate, burst, n)
		}
		if busy == 0 {
			continue
		}
		part := float64(got) / float64(rate) / busy.Seconds()
		least = min(least, part)
		if part < 0.8 {
			t.Errorf("seed %d: %.0f %% of the rate of %d were admitted at %d brokers", seed, 100*part, rate, n)
		}
	}
	t.Logf("%d seeds: at most %.1f %% of a second's worth beyond rate and burst, at least %.0f %% of the rate", seeds, 100*most, 100*least)
}

// parts returns what each broker has of the rate.
func (w *world) parts() (all []int64, sum int64) {
	for _, s := range w.sites {
		r := s.gate.Rates()[0]
		all = append(all, r.Part())
		if s.members > 0 {
			sum += r.Part()
		}
	}
	return all, sum
}

// TestPartsFollowConnections takes connections away and brings them back: who is
// alone has all of the rate, whatever got lost meanwhile, and all together have it
// once whenever what was said is known.
func TestPartsFollowConnections(t *testing.T) {
	const n, rate = 3, 900
	w := newWorld(t, n, quota(t, rate, 90, accounts.Refuse), 1, 90*time.Millisecond)
	lossy := rand.New(rand.NewPCG(3, 4))
	w.lose = func(int, int) bool { return lossy.IntN(4) == 0 }
	for _, s := range w.sites {
		s.asks = rate
	}
	joins := 0
	for range 40 {
		s := w.sites[lossy.IntN(n)]
		if s.members = 1 - s.members; s.members > 0 {
			s.table.Joined("A", s, w.clock())
			joins++
			s.asks = rate
		} else {
			s.asks = 0
		}
		w.run(20 * time.Second) // what got lost is said again every five
		here := 0
		for _, s := range w.sites {
			here += s.members
		}
		parts, sum := w.parts()
		if here == 0 {
			continue
		}
		if sum < limit.Whole-n || sum > limit.Whole {
			t.Fatalf("after %v: %d brokers have %v", w.now, here, parts)
		}
		for i, s := range w.sites {
			if s.members > 0 && (parts[i] < limit.Whole/int64(here)-n || parts[i] > limit.Whole/int64(here)) {
				t.Fatalf("after %v: %d brokers ask for the same and have %v", w.now, here, parts)
			}
		}
	}
	if joins == 0 {
		t.Fatal("nobody came back")
	}
}

// TestWhoComesTakesAnEvenPart checks what a broker admits where an account is
// new, while another one uses all of the rate: for the moment until the others
// know, an even part more, and no second burst.
func TestWhoComesTakesAnEvenPart(t *testing.T) {
	const n, rate, burst = 3, 1000, 300
	w := newWorld(t, n, quota(t, rate, burst, accounts.Refuse), 1, 90*time.Millisecond)
	w.sites[1].members, w.sites[2].members = 0, 0
	w.run(2 * time.Second)
	w.sites[0].asks = 2 * rate
	w.run(3 * time.Second)
	if parts, _ := w.parts(); parts[0] != limit.Whole {
		t.Fatalf("who is alone has %v", parts)
	}
	// Who comes and asks for nothing takes next to nothing away.
	idle := w.sites[1]
	idle.members = 1
	idle.table.Joined("A", idle, w.clock())
	before := w.sum()
	w.run(time.Second)
	if n := w.sum() - before; n < rate*95/100 {
		t.Errorf("%d were admitted beside a broker that is asked for nothing", n)
	}
	for _, s := range w.sites[1:] {
		s.members, s.asks = 1, 2*rate
		s.table.Joined("A", s, w.clock())
	}
	w.run(3 * time.Second)
	const most = burst + (n-1)*(burst/n+rate/n*3/10)
	if over := w.worst(); over > most {
		t.Errorf("%.0f more than the rate gives, at most %d may be", over, most)
	}
	if parts, sum := w.parts(); sum > limit.Whole || sum < limit.Whole-n {
		t.Errorf("they have %v", parts)
	}
}

// TestRatesThatComeLater gives an account rates when it has connections already:
// who hears of it from another broker before it looked says so.
func TestRatesThatComeLater(t *testing.T) {
	s := &site{gate: limit.NewGate(nil, accounts.Quotas{accounts.MessagesIn: quota(t, 100, 100, accounts.Slow)}, nil, start), members: 1}
	table := NewTable()
	table.Kin([]string{"other"}, func(func(string, Account)) {})
	if table.Missed() {
		t.Error("nobody told of anything")
	}
	told := []Word{{Account: "A", Rates: map[string]Demand{accounts.MessagesIn: {Used: 50}}}}
	table.Hear("other", told, start)
	if !table.Missed() || table.Missed() {
		t.Error("an account that is not known is missed, once")
	}
	table.Look(func(visit func(string, Account)) { visit("A", s) })
	if words := table.Tick(start.Add(Interval)); len(words) != 1 || words[0].Account != "A" || words[0].Gone {
		t.Errorf("told %+v", words)
	}
	table.Hear("other", told, start)
	if table.Missed() {
		t.Error("it is known by now")
	}
}

// TestWhoLeavesIsForgotten lets brokers vanish without a word.
func TestWhoLeavesIsForgotten(t *testing.T) {
	w := newWorld(t, 3, quota(t, 1000, 1000, accounts.Slow), 1, 90*time.Millisecond)
	for _, s := range w.sites {
		s.asks = 3000
	}
	w.run(3 * time.Second)
	w.sites = w.sites[:2]
	w.lose = func(_, to int) bool { return to == 2 }
	each := func(s *site) func(func(string, Account)) {
		return func(visit func(string, Account)) { visit("A", s) }
	}
	for i, s := range w.sites {
		s.table.Kin([]string{w.sites[1-i].id}, each(s))
	}
	w.run(3 * time.Second)
	if parts, _ := w.parts(); parts[0] != limit.Whole/2 || parts[1] != limit.Whole/2 {
		t.Errorf("two of three have %v", parts)
	}
	last := w.sites[0]
	last.table.Kin(nil, each(last))
	w.sites = w.sites[:1]
	w.lose = func(int, int) bool { return true }
	w.run(time.Second)
	if parts, _ := w.parts(); parts[0] != limit.Whole {
		t.Errorf("the last one has %v", parts)
	}
	// Two that were alone, and find each other.
	other := &site{gate: limit.NewGate(nil, accounts.Quotas{accounts.MessagesIn: w.quota}, nil, start), table: NewTable(), id: "new", members: 1, asks: 3000}
	w.sites = append(w.sites, other)
	w.lose = nil
	for i, s := range w.sites {
		s.table.Kin([]string{w.sites[1-i].id}, each(s))
	}
	w.run(2 * time.Second)
	if parts, _ := w.parts(); parts[0] != limit.Whole/2 || parts[1] != limit.Whole/2 {
		t.Errorf("two that met have %v", parts)
	}
}

func TestDivide(t *testing.T) {
	used := func(n int64) Demand { return Demand{Used: n} }
	short := func(n int64) Demand { return Demand{Used: n, Short: true} }
	for _, c := range []struct {
		name   string
		own    Demand
		others []Demand
		want   int64 // of a thousand
	}{
		{"alone", used(0), nil, 1000},
		{"all want more", short(10), []Demand{short(900), short(0)}, 333},
		{"one wants more", short(500), []Demand{used(100)}, 875},
		{"the other one", used(100), []Demand{short(500)}, 125},
		{"nobody wants anything", used(0), []Demand{used(0), used(0), used(0)}, 250},
		{"somebody idle", short(900), []Demand{used(0)}, 975},
		{"idle", used(0), []Demand{short(900)}, 25},
		{"enough for all", used(400), []Demand{used(80)}, 700},
		{"a little too much", used(600), []Demand{used(300)}, 625},
	} {
		if got := Divide(1000, c.own, c.others); got != c.want*1000 && got != c.want*1000+333 {
			t.Errorf("%s: %d of a million, want %d of a thousand", c.name, got, c.want)
		}
	}
}

// TestPartsAreOneWhole checks that all brokers' parts are one rate together,
// whatever they want, and that who wants more has no less.
func TestPartsAreOneWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rate := rapid.Int64Range(1, 20_000_000_000).Draw(rt, "rate")
		all := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Demand {
			return Demand{rapid.Int64Range(0, 2*rate).Draw(rt, "used"), rapid.Bool().Draw(rt, "short")}
		}), 1, 12).Draw(rt, "demands")
		sum := int64(0)
		parts := make([]int64, len(all))
		for i, d := range all {
			parts[i] = Divide(rate, d, slices.Delete(slices.Clone(all), i, i+1))
			sum += parts[i]
		}
		if n := int64(len(all)); sum > limit.Whole+n || sum < limit.Whole-n {
			rt.Fatalf("%v are %d", parts, sum)
		}
		for i, d := range all {
			for j, e := range all {
				if (d.Short || !e.Short && d.Used > e.Used) && parts[i] < parts[j]-1 {
					rt.Fatalf("%v has %d, and %v %d", d, parts[i], e, parts[j])
				}
			}
		}
	})
}
