package conformance

import (
	"fmt"
	"strings"
)

// Differences are the places where the subject answers unlike the judge on
// purpose, by script name.
type Differences map[string]Difference

// Difference is one kept on purpose.
type Difference struct {
	// Reason says why we keep it.
	Reason string
	// Lines are exactly what Diff returns.
	Lines []string
}

// ParseDifferences reads the list: a line "== script name", the reason in
// plain lines, then the difference in lines that begin with "- " or "+ ".
// Lines that begin with "#" are comments.
func ParseDifferences(text string) (Differences, error) {
	all := Differences{}
	name := ""
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if title, ok := strings.CutPrefix(line, "== "); ok {
			name = title
			if _, twice := all[name]; twice {
				return nil, fmt.Errorf("line %d: second entry for %s", i+1, name)
			}
			all[name] = Difference{}
			continue
		}
		if name == "" {
			return nil, fmt.Errorf("line %d: text before the first entry", i+1)
		}
		all[name] = all[name].with(line)
	}
	for name, d := range all {
		if d.Reason == "" || len(d.Lines) == 0 {
			return nil, fmt.Errorf("%s: an entry wants a reason and the lines that differ", name)
		}
	}
	return all, nil
}

func (d Difference) with(line string) Difference {
	if strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "+ ") {
		d.Lines = append(d.Lines, line)
		return d
	}
	d.Reason = strings.TrimSpace(d.Reason + " " + line)
	return d
}

// Unexpected compares what differs with what the list allows for the script
// and returns what is wrong, nothing if all is as it should be.
func (a Differences) Unexpected(script string, diff []string) []string {
	allowed := a[script].Lines
	if wrong := diffLines(allowed, diff); len(wrong) == 0 {
		return nil
	}
	if len(diff) == 0 {
		return []string{"differences.txt lists a difference that is gone: remove the entry"}
	}
	return diff
}
