package ration

import (
	"math"
	"time"
)

// measure takes the demands of the last Tick. It reports whether the others must
// hear of them.
func (e *entry) measure(tick uint64) (news bool) {
	for _, r := range e.account.Rates() {
		m := e.meters[r.Name]
		spent, short := r.Sample()
		if m == nil {
			m = &meter{before: r.Part(), at: tick - 1}
			e.meters[r.Name] = m
			news = true
		}
		if gap := tick - m.at; gap > 1 {
			m.used = float64(spent) / (float64(gap) * Interval.Seconds())
		} else {
			m.used += smoothing * (float64(spent)/Interval.Seconds() - m.used)
		}
		m.at = tick
		if short {
			m.fed = tick
		}
		now := Demand{Used: int64(math.Round(max(0, m.used))), Short: m.fed != 0 && tick-m.fed < hungry}
		difference := math.Abs(float64(now.Used - m.told.Used))
		if now.Short != m.told.Short || difference > max(changeOfUse*float64(m.told.Used), changeOfRate*float64(r.Amount)) {
			m.told, news = now, true
		}
	}
	return news
}

// rest notes that the account is not measured any more, because it has all there
// is. Who comes to share it finds it asking for more, until that is known again.
func (e *entry) rest() {
	for _, m := range e.meters {
		m.told.Short = true
	}
}

func (e *entry) word() Word {
	w := Word{Account: e.key, New: e.fresh, Rates: make(map[string]Demand, len(e.meters))}
	for name, m := range e.meters {
		w.Rates[name] = m.told
	}
	return w
}

// divide puts the parts in force that follow from what was said: at once where
// they get smaller, and with a Tick, if it was so at the one before already,
// where they grow, once all the others are known. It reports whether all of them
// are as they are to be.
func (e *entry) divide(now time.Time, ticking, settled bool) (done bool) {
	done = true
	for _, r := range e.account.Rates() {
		m := e.meters[r.Name]
		if m == nil {
			done = false
			continue // not measured yet
		}
		demands := make([]Demand, 0, len(e.others))
		for _, o := range e.others {
			if d, ok := o.word.Rates[r.Name]; ok {
				demands = append(demands, d)
			}
		}
		is, next := r.Part(), Divide(r.Amount, m.told, demands)
		switch {
		case next <= is:
			r.SetPart(next, now)
		case ticking && settled:
			r.SetPart(max(is, min(next, m.before)), now)
		}
		if ticking {
			m.before = next
		}
		done = done && r.Part() == next
	}
	return done
}
