package export

import (
	"maps"
	"slices"
	"time"

	"github.com/coveymq/covey/dataplane/internal/meter"
)

// source is an incarnation: the meter's own, or one that it adopted.
type source interface {
	IncarnationID() string
	Started() time.Time
	Snapshot(yield func(meter.Series) bool)
}

// book is what is known of one incarnation's reports. It is guarded by the
// exporter's round.
type book struct {
	source  source
	windows map[int64]*window
}

// window is one hour of it.
type window struct {
	hour int64
	rows map[rowKey]*row

	sent     meter.Digest  // of all rows' sent
	since    time.Time     // since when something is unreceipted; zero: all is receipted
	differs  bool          // the ledger was asked, and holds something else
	nextFull time.Time     // when to send everything again
	pause    time.Duration // until the time after that, while the ledger differs
}

type rowKey struct{ account, class string }

// row is one series.
type row struct {
	now, sent meter.Counts
}

// fullPauseFirst is how soon everything is sent again when the ledger holds
// something else than what was sent: a collector may still be at it.
const fullPauseFirst = 2 * time.Second

func newBook(s source) *book { return &book{source: s, windows: make(map[int64]*window)} }

// read takes the counts of now.
func (b *book) read(now time.Time) {
	b.source.Snapshot(func(s meter.Series) bool {
		w := b.windows[s.Window]
		if w == nil {
			w = &window{hour: s.Window, rows: make(map[rowKey]*row)}
			b.windows[s.Window] = w
		}
		key := rowKey{s.Account, s.Class}
		r := w.rows[key]
		if r == nil {
			r = &row{}
			w.rows[key] = r
		}
		if r.now != s.Counts {
			r.now = s.Counts
			if w.since.IsZero() {
				w.since = now
			}
		}
		return true
	})
}

// due returns what is to be sent: what has changed, and once in a while, or
// while the ledger does not confirm it, everything.
func (b *book) due(now time.Time, resend time.Duration) []meter.Series {
	var out []meter.Series
	for _, w := range b.windows {
		full := w.full(now, resend)
		for key, r := range w.rows {
			if full || r.now != r.sent {
				out = append(out, meter.Series{Account: key.account, Class: key.class, Window: w.hour, Counts: r.now})
			}
		}
	}
	return out
}

// full decides whether a window is sent as a whole, and when next.
func (w *window) full(now time.Time, resend time.Duration) bool {
	if w.nextFull.IsZero() {
		w.nextFull = now.Add(resend) // its first rows are all new
		return false
	}
	if now.Before(w.nextFull) {
		return false
	}
	if w.differs {
		w.pause = min(max(2*w.pause, fullPauseFirst), resend)
		w.nextFull = now.Add(w.pause)
	} else {
		w.nextFull = now.Add(resend)
		if w.since.IsZero() {
			w.since = now // see whether the ledger still has it
		}
	}
	return true
}

// wasSent notes that a receiver, or a collector, took s.
func (b *book) wasSent(s *meter.Series) {
	w := b.windows[s.Window]
	r := w.rows[rowKey{s.Account, s.Class}]
	w.sent.Replace(s, r.sent)
	r.sent = s.Counts
}

// receipted reports whether the ledger holds all that was read.
func (w *window) receipted() bool { return w.since.IsZero() }

func (b *book) receipted() bool {
	for _, w := range b.windows {
		if !w.receipted() {
			return false
		}
	}
	return true
}

// askMax is how many hours one question may name. After weeks without the
// control plane the rest is asked for in the rounds that follow.
const askMax = 500

// unreceipted returns the hours to ask a receipt for, oldest first.
func (b *book) unreceipted() []int64 {
	var out []int64
	for hour, w := range b.windows {
		if !w.receipted() {
			out = append(out, hour)
		}
	}
	slices.Sort(out)
	return out[:min(askMax, len(out))]
}

// compare takes a receipt in. Everything read in this round has been sent, so
// equal digests mean that the ledger holds it all.
func (b *book) compare(r Receipt, now time.Time) {
	w := b.windows[r.Window]
	if w == nil {
		return
	}
	if (meter.Digest{Series: r.Series, Total: r.Total, Hash: r.Hash}) != w.sent {
		if !w.differs {
			w.differs = true
			w.nextFull = now.Add(fullPauseFirst)
		}
		return
	}
	if w.differs {
		w.nextFull = time.Time{} // back to the ordinary rhythm, from the next round
	}
	w.since, w.differs, w.pause = time.Time{}, false, 0
}

// closed returns the hours before the current one, oldest first.
func (b *book) closed(current int64) []int64 {
	var out []int64
	for _, hour := range slices.Sorted(maps.Keys(b.windows)) {
		if hour < current {
			out = append(out, hour)
		}
	}
	return out
}

// series returns what was sent of a window.
func (w *window) series() []meter.Series {
	out := make([]meter.Series, 0, len(w.rows))
	for key, r := range w.rows {
		out = append(out, meter.Series{Account: key.account, Class: key.class, Window: w.hour, Counts: r.sent})
	}
	return out
}

func (b *book) series() []meter.Series {
	var out []meter.Series
	for _, w := range b.windows {
		out = append(out, w.series()...)
	}
	return out
}
