package conformance

import (
	"fmt"
	"strings"
)

// Text writes the script as a section of a script file.
func (s *Script) Text() string {
	var b strings.Builder
	_, title, _ := strings.Cut(s.Name, "/")
	fmt.Fprintf(&b, "== %s\n", strings.ReplaceAll(title, "-", " "))
	if len(s.Needs) > 0 {
		fmt.Fprintf(&b, "needs: %s\n", strings.Join(s.Needs, ", "))
	}
	if len(s.Tags) > 0 {
		fmt.Fprintf(&b, "tags: %s\n", strings.Join(s.Tags, ", "))
	}
	if s.Config != "" {
		b.WriteString("config:\n")
		for line := range strings.Lines(s.Config) {
			b.WriteString("| " + line)
		}
	}
	for _, step := range s.Steps {
		b.WriteString(step.Script() + "\n")
	}
	return b.String()
}

// Script writes the step as a line of a script.
func (s Step) Script() string {
	if s.Verb == VerbTally || s.Verb == VerbPause {
		return fmt.Sprintf("%s %s", s.Verb, s.Text)
	}
	if s.Verb != VerbSend {
		return strings.TrimRight(fmt.Sprintf("%s %s %s", s.Conn, s.Verb, s.Text), " ")
	}
	times := ""
	if s.Times > 1 {
		times = fmt.Sprintf("*%d", s.Times)
	}
	if text, ok := strings.CutSuffix(s.Text, `\r\n`); ok && !strings.HasSuffix(text, `\`) {
		return fmt.Sprintf("%s%s> %s", s.Conn, times, text)
	}
	return fmt.Sprintf("%s%s>> %s", s.Conn, times, s.Text)
}

// Escape writes bytes as the text of a step that sends them. What looks like a
// placeholder stays one.
func Escape(data string) string {
	named := map[byte]string{'\r': `\r`, '\n': `\n`, '\t': `\t`, 0: `\0`, '\\': `\\`}
	var b strings.Builder
	for i := range len(data) {
		c := data[i]
		short, ok := named[c]
		switch {
		case ok:
			b.WriteString(short)
		case c < ' ' || c >= 0x7f, c == ' ' && i == len(data)-1: // editors drop blanks at the end of a line
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
