package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// repeatMax bounds `a*N>`; more belongs in the load generator.
const repeatMax = 100_000

var (
	sendForm = regexp.MustCompile(`^([a-z][a-z0-9,]*)(?:\*(\d+))?(>>?)(?: (.*))?$`)
	verbForm = regexp.MustCompile(`^([a-z][a-z0-9,]*) ([a-z-]+)(?: (.*))?$`)
)

// parseStep returns the connections a line names and the step each performs.
func parseStep(line string) ([]string, Step, error) {
	if m := sendForm.FindStringSubmatch(line); m != nil {
		s, err := sendStep(m[2], m[3], m[4])
		return strings.Split(m[1], ","), s, err
	}
	word, rest, _ := strings.Cut(line, " ")
	if v := Verb(word); v == VerbTally || v == VerbPause {
		return []string{""}, Step{Verb: v, Text: strings.TrimSpace(rest)}, nil
	}
	m := verbForm.FindStringSubmatch(line)
	if m == nil || !slices.Contains(connVerbs(), Verb(m[2])) {
		return nil, Step{}, fmt.Errorf("unknown step %q", line)
	}
	return strings.Split(m[1], ","), Step{Verb: Verb(m[2]), Text: m[3]}, nil
}

func sendStep(times, arrow, text string) (Step, error) {
	s := Step{Verb: VerbSend, Text: text, Times: 1}
	if arrow == ">" {
		s.Text += `\r\n`
	}
	if times == "" {
		return s, nil
	}
	n, err := strconv.Atoi(times)
	if err != nil || n < 1 || n > repeatMax {
		return s, fmt.Errorf("bad repeat count %q", times)
	}
	s.Times = n
	return s, nil
}

// unescape resolves \r \n \t \0 \\ and \xNN; any other backslash is an error.
func unescape(text string) ([]byte, error) {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			out = append(out, text[i])
			continue
		}
		b, n, err := escape(text[i+1:])
		if err != nil {
			return nil, err
		}
		out = append(out, b)
		i += n
	}
	return out, nil
}

// escape reads what follows a backslash and how long it is.
func escape(text string) (byte, int, error) {
	simple := map[byte]byte{'r': '\r', 'n': '\n', 't': '\t', '0': 0, '\\': '\\'}
	if text == "" {
		return 0, 0, fmt.Errorf("text ends in a backslash")
	}
	if b, ok := simple[text[0]]; ok {
		return b, 1, nil
	}
	if text[0] == 'x' && len(text) >= 3 {
		n, err := strconv.ParseUint(text[1:3], 16, 8)
		if err == nil {
			return byte(n), 3, nil
		}
	}
	return 0, 0, fmt.Errorf("unknown escape \\%c", text[0])
}
