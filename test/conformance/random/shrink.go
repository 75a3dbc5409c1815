package random

import (
	"regexp"
	"slices"
	"strings"
)

// Shrink leaves out of a session whatever it can while fails still
// holds for what is left: first of what is done, then of the configuration. It asks about at most
// so many candidates.
func Shrink(s *Session, tries int, fails func(*Session) bool) *Session {
	best := *s
	best.Units = shorter(best.Units, &tries, func(units []Unit) bool {
		candidate := best
		candidate.Units = units
		return fails(&candidate)
	})
	best.Lines = shorter(best.Lines, &tries, func(lines []string) bool {
		candidate := best
		candidate.Lines = lines
		return fails(&candidate)
	})
	return &best
}

// shorter removes runs of elements, long ones first, until no single one can go.
func shorter[E any](all []E, tries *int, fails func([]E) bool) []E {
	for size := max(1, len(all)/2); ; {
		removed := false
		for at := 0; at+size <= len(all) && *tries > 0; {
			*tries--
			if candidate := slices.Concat(all[:at], all[at+size:]); fails(candidate) {
				all, removed = candidate, true
				continue
			}
			at++
		}
		switch {
		case *tries == 0 || size == 1 && !removed:
			return all
		case !removed:
			size /= 2
		}
		size = max(1, min(size, len(all)))
	}
}

// varying is what differs between two errors of one kind.
var varying = regexp.MustCompile(`"[^"]*"|[0-9]+`)

// Kind is what a difference has in common with others of its kind: who said what
// the other did not, without names.
func Kind(diff []string) string {
	if len(diff) == 0 {
		return ""
	}
	words := strings.Fields(diff[0])
	if len(words) > 2 && (words[2] == "MSG" || words[2] == "HMSG") {
		return words[0] + " " + words[2]
	}
	return words[0] + varying.ReplaceAllString(strings.Join(words[min(2, len(words)):], " "), "")
}
