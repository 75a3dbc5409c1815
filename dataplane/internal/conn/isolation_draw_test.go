package conn_test

import "pgregory.net/rapid"

// evenly draws from 0 to n-1, each as likely as the others. What rapid draws by
// itself is mostly small or the first of a list: histories of such choices hardly
// ever meet what only two rare things together bring about.
func evenly(rt *rapid.T, n int, what string) int {
	const bits = 8
	drawn := rapid.Custom(func(t *rapid.T) int {
		v := 0
		for range bits {
			v *= 2
			if rapid.Bool().Draw(t, "bit") {
				v++
			}
		}
		return v
	}).Draw(rt, what)
	return drawn * n >> bits
}

// oneOf draws one of a list.
func oneOf[T any](rt *rapid.T, all []T, what string) T { return all[evenly(rt, len(all), what)] }

// oftenOf draws by weights.
func oftenOf(rt *rapid.T, all []weighted) func(*rapid.T) {
	total := 0
	for _, w := range all {
		total += w.weight
	}
	at := evenly(rt, total, "action")
	for _, w := range all {
		if at -= w.weight; at < 0 {
			return w.act
		}
	}
	return all[0].act
}

type weighted struct {
	weight int
	act    func(*rapid.T)
}
