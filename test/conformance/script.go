package conformance

import (
	"fmt"
	"slices"
	"strings"
)

// Script is one scenario: a server configuration, identities, and what named
// connections do, step by step.
type Script struct {
	// Name is "file/section", unique among all scripts.
	Name string
	// Needs lists the features a broker must have for the script to apply.
	Needs []string
	// Tags change how the script is played; see the tag constants.
	Tags []string
	// Config is the template of the server configuration.
	Config string
	// Identities are the lines of the identities block.
	Identities []string
	// Hidden connections are left out of the transcript; tally looks at them.
	Hidden []string
	// Steps are played in order.
	Steps []Step
}

// Tags of a script.
const (
	// TagSplit plays the script once for every offset of what it sends.
	TagSplit = "split"
	// TagWhole never splits what the script sends, not even by the byte.
	TagWhole = "whole"
	// TagPings keeps the PINGs that the server sends by itself in the transcript.
	TagPings = "pings"
	// TagLoose compares deliveries with one payload in any order, even when
	// mappings or imports give them several subjects.
	TagLoose = "loose"
)

// knownTags holds what a tags line may say.
func knownTags() []string { return []string{TagSplit, TagWhole, TagPings, TagLoose} }

// knownNeeds holds what a needs line may say.
func knownNeeds() []string {
	return []string{"config", "auth", "accounts", "imports", "mappings", "jwt", "tls", "pings"}
}

// Step is one action of one connection.
type Step struct {
	// Line is where the step stands in its file.
	Line int
	// Conn names the connection; empty for tally and pause.
	Conn string
	// Verb is the action.
	Verb Verb
	// Text is the template of what is sent, or the argument of the verb.
	Text string
	// Times repeats a send in one write.
	Times int
}

// Verb is what a step does.
type Verb string

// The verbs. Send is written `a> text` (CR LF is added) or `a>> text` (raw).
const (
	VerbSend    Verb = "send"
	VerbOpen    Verb = "open"         // connect the socket and wait for INFO
	VerbTLS     Verb = "tls"          // connect the socket and upgrade to TLS after INFO
	VerbFirst   Verb = "tls-first"    // connect the socket and speak TLS before INFO
	VerbConnect Verb = "connect"      // send CONNECT, quiet, with the fields given
	VerbSync    Verb = "sync"         // send PING, wait for its PONG
	VerbWait    Verb = "wait"         // wait for a frame that begins with the text
	VerbGone    Verb = "expect-close" // wait until the server closes
	VerbClose   Verb = "close"        // close from our side
	VerbTally   Verb = "tally"        // count frames over several connections
	VerbPause   Verb = "pause"        // let a time pass that the script is about
)

func connVerbs() []Verb {
	return []Verb{VerbOpen, VerbTLS, VerbFirst, VerbConnect, VerbSync, VerbWait, VerbGone, VerbClose}
}

// tagged reports whether the script has the tag.
func (s *Script) tagged(tag string) bool { return slices.Contains(s.Tags, tag) }

// Missing returns the features the script needs beyond those given.
func (s *Script) Missing(features []string) []string {
	var missing []string
	for _, n := range s.Needs {
		if !slices.Contains(features, n) {
			missing = append(missing, n)
		}
	}
	return missing
}

// ParseFile parses a script file. Lines before the first section are defaults
// for all sections of the file.
func ParseFile(name, text string) ([]*Script, error) {
	p := parser{file: name, defaults: &Script{}}
	p.current = p.defaults
	for i, line := range strings.Split(text, "\n") {
		p.line = i + 1
		if err := p.take(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, p.line, err)
		}
	}
	for _, s := range p.scripts {
		if len(s.Steps) == 0 {
			return nil, fmt.Errorf("%s: script without steps", s.Name)
		}
	}
	return p.scripts, nil
}

// parser reads a script file line by line.
type parser struct {
	file     string
	line     int
	defaults *Script
	current  *Script
	scripts  []*Script
	block    string // the block that "| " lines belong to
}

func (p *parser) take(line string) error {
	trimmed := strings.TrimRight(line, " \t")
	switch {
	case trimmed == "" || strings.HasPrefix(trimmed, "#"):
		return nil
	case strings.HasPrefix(trimmed, "== "):
		return p.section(strings.TrimSpace(trimmed[3:]))
	case trimmed == "|" || strings.HasPrefix(trimmed, "| "):
		return p.blockLine(strings.TrimPrefix(strings.TrimPrefix(trimmed, "|"), " "))
	}
	p.block = ""
	if ok, err := p.header(trimmed); ok || err != nil {
		return err
	}
	return p.step(line)
}

func (p *parser) section(title string) error {
	name := p.file + "/" + strings.ReplaceAll(title, " ", "-")
	for _, s := range p.scripts {
		if s.Name == name {
			return fmt.Errorf("second section named %q", title)
		}
	}
	d := p.defaults
	p.current = &Script{
		Name:       name,
		Needs:      slices.Clone(d.Needs),
		Tags:       slices.Clone(d.Tags),
		Config:     d.Config,
		Identities: slices.Clone(d.Identities),
		Hidden:     slices.Clone(d.Hidden),
	}
	p.scripts = append(p.scripts, p.current)
	p.block = ""
	return nil
}

// header takes the lines that describe a script rather than act.
func (p *parser) header(line string) (bool, error) {
	s := p.current
	key, rest, _ := strings.Cut(line, ":")
	words := strings.Fields(strings.ReplaceAll(rest, ",", " "))
	switch key {
	case "needs":
		s.Needs = words
		return true, unknownWord(words, knownNeeds())
	case "tags":
		s.Tags = words
		return true, unknownWord(words, knownTags())
	case "hide":
		s.Hidden = words
	case "config":
		s.Config, p.block = "", key
	case "identities":
		s.Identities, p.block = nil, key
	default:
		return false, nil
	}
	return true, nil
}

func unknownWord(words, known []string) error {
	for _, w := range words {
		if !slices.Contains(known, w) {
			return fmt.Errorf("unknown word %q", w)
		}
	}
	return nil
}

func (p *parser) blockLine(line string) error {
	switch p.block {
	case "config":
		p.current.Config += line + "\n"
	case "identities":
		p.current.Identities = append(p.current.Identities, line)
	default:
		return fmt.Errorf("block line outside a block")
	}
	return nil
}

// step parses an action; a comma-separated list of connections is one step each.
func (p *parser) step(line string) error {
	if p.current == p.defaults {
		return fmt.Errorf("step before the first section")
	}
	conns, s, err := parseStep(line)
	if err != nil {
		return err
	}
	s.Line = p.line
	for _, c := range conns {
		s.Conn = c
		p.current.Steps = append(p.current.Steps, s)
	}
	return nil
}
