package subject

import "strings"

// Intersection returns the pattern of the subjects that both patterns match;
// false if there are none.
func Intersection(a, b string) (string, bool) {
	var out []string
	for {
		x, aTail, aMore := Next(a)
		y, bTail, bMore := Next(b)
		switch {
		case isRest(x):
			return strings.Join(append(out, b), "."), true
		case isRest(y):
			return strings.Join(append(out, a), "."), true
		case isOne(x):
			out = append(out, y)
		case isOne(y) || x == y:
			out = append(out, x)
		default:
			return "", false
		}
		if !aMore || !bMore {
			return strings.Join(out, "."), aMore == bMore
		}
		a, b = aTail, bTail
	}
}
