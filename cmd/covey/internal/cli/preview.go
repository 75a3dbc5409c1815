package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	apiv1 "github.com/coveymq/covey/proto/covey/api/v1"
)

const dryRunFlag = "dry-run"

// What answers say of credentials.
const (
	credsRevoked = "credentials revoked"
	credsEnded   = "credentials ended"
)

// previews are the commands that can be tried without changing anything, and what
// that tells. Some say so themselves, where they are made; a test knows of all
// that write, and why those that are in neither place can hurt nobody.
func previews() map[string]string {
	const clients = "change nothing; say which connections and credentials would end"
	return map[string]string{
		"account suspend": clients,
		"account delete":  clients,
		"account purge":   "change nothing; say what would be gone for good",
		"account update":  "change nothing; say which connections would end",
		"user suspend":    clients,
		"user delete":     clients,
		"creds revoke":    clients,
		"org close":       clients,
		"org update":      "check everything and change nothing",
		"creds issue":     "check everything and issue nothing",
		"role update":     "change nothing; say what would change",
		"role delete":     clients,
		"key stage":       "change nothing; say what would change",
		"key promote":     "change nothing; say what would change",

		"serviceaccount update": "change nothing; say which API keys would be refused",
		"serviceaccount delete": "change nothing; say which API keys would end",
		"apikey rotate":         "change nothing; say until when the old key would be accepted",
		"apikey disable":        "change nothing; say what would change",
		"apikey delete":         "change nothing; say what would change",
		"member set-role":       "change nothing; say what would change",
		"member remove":         "change nothing; say which API keys would end",
		"member revoke":         "change nothing; say what would change",
		"federation delete":     "change nothing; say what would change",
		"alert ack":             "change nothing; say what would change",
		"alert policy create":   "check everything and change nothing",
		"alert policy update":   "change nothing; say what would change",
		"alert policy delete":   "change nothing; say what would change",
		"import delete":         "change nothing; say what would change",
		"share revoke":          "change nothing; say what would change",
		"share reject":          "change nothing; say what would change",
		"admin plan delete":     "check everything and change nothing",
	}
}

// offerPreviews gives the commands below one their --dry-run.
func offerPreviews(c *cobra.Command, in map[string]string) {
	if usage, ok := in[strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")]; ok {
		c.Flags().Bool(dryRunFlag, false, usage)
	}
	for _, sub := range c.Commands() {
		offerPreviews(sub, in)
	}
}

// isDry reports whether a command is only tried.
func isDry(cmd *cobra.Command) bool {
	dry, err := cmd.Flags().GetBool(dryRunFlag)
	return err == nil && dry
}

// reading are how methods begin that change nothing.
func reading() []string {
	return []string{"Get", "List", "BatchGet", "Query", "Watch", "Wait", "Test", "Explain"}
}

// tryOnly makes a request change nothing. One that cannot be tried is refused
// here: a dry run must not depend on every command's having thought of it.
func tryOnly(method string, req proto.Message) error {
	m := req.ProtoReflect()
	if f := m.Descriptor().Fields().ByName("validate_only"); f != nil {
		m.Set(f, protoreflect.ValueOfBool(true))
		return nil
	}
	name := lastSegment(method)
	for _, verb := range reading() {
		if strings.HasPrefix(name, verb) {
			return nil
		}
	}
	return term.Usagef("leave out --"+dryRunFlag, "%s cannot be tried without doing it", name)
}

// tried is what a dry run says of a pair that a change would print.
func tried(pairs []term.Pair) []term.Pair {
	words := map[string]string{ //nolint:gosec // words, no secrets
		"deleted": "would delete", "purged": "would purge", "removed": "would remove",
		credsRevoked: "would revoke credentials", credsEnded: "would end credentials",
	}
	out := make([]term.Pair, 0, len(pairs))
	for _, p := range pairs {
		if w, ok := words[p.Name]; ok {
			p.Name = w
		}
		out = append(out, p)
	}
	return out
}

// showPreview prints what a change would do: the whole answer for programs; for
// people what there would be, which showCost ends with what it costs.
func (a *App) showPreview(pairs []term.Pair) error {
	if a.streams.JSON {
		raw, err := messageJSON(a.preview)
		if err != nil {
			return err
		}
		return a.streams.PrintJSON(raw)
	}
	return a.streams.Describe(tried(pairs)...)
}

// showCost ends a dry run: it prints what the change that was tried would cost.
func (a *App) showCost() error {
	if a.preview == nil || a.streams.JSON {
		return nil
	}
	if rows := costOf(a.preview); len(rows) > 0 {
		if err := a.streams.Table([]string{"WOULD", "HOW MANY", "NOTE"}, rows); err != nil {
			return err
		}
	}
	a.streams.Sayf("nothing was changed")
	return nil
}

// costShown is how many names of one kind a cost lists for people; JSON has more.
const costShown = 10

// costOf is what an answer says of those whom the change would touch.
func costOf(answer proto.Message) [][]string {
	r, ok := answer.(interface{ GetImpact() *apiv1.Impact })
	if !ok || r.GetImpact() == nil {
		return nil
	}
	i := r.GetImpact()
	least := ""
	if i.GetIncomplete() {
		least = "at least "
	}
	note := ""
	if i.GetBrokersCounted() > 0 {
		note = "at " + strconv.FormatInt(i.GetBrokersCounted(), 10) + " brokers"
	}
	rows := [][]string{{"end connections", least + strconv.FormatInt(i.GetConnections(), 10), note}}
	for _, a := range i.GetAccounts()[:min(len(i.GetAccounts()), costShown)] {
		note := "all of them"
		if a.Limit != nil {
			note = "the account may have " + strconv.FormatInt(a.GetLimit(), 10)
		}
		rows = append(rows, []string{"  of " + a.GetAccount(), strconv.FormatInt(a.GetConnections(), 10), note})
	}
	for _, b := range i.GetUncountedBrokers() {
		rows = append(rows, []string{"  not counted", orElse(b.GetDisplayName(), b.GetBroker()), b.GetReason()})
	}
	credentials := "not looked at"
	if i.Credentials != nil {
		credentials = strconv.FormatInt(i.GetCredentials(), 10)
	}
	rows = append(rows, []string{"refuse credentials", credentials, firstOf(i.GetCredentialNames())})
	if n := len(i.GetApiKeys()); n > 0 {
		rows = append(rows, []string{"refuse API keys", strconv.Itoa(n), firstOf(i.GetApiKeys())})
	}
	if n := len(i.GetDependents()); n > 0 {
		rows = append(rows, []string{"break or end", strconv.Itoa(n), firstOf(i.GetDependents())})
	}
	return rows
}

// firstOf is the first few of many names.
func firstOf(names []string) string {
	if len(names) > costShown {
		return strings.Join(names[:costShown], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

// tryCall makes a call of a dry run, and keeps what it says.
func (a *App) tryCall(method string, req, reply any, call func() error) error {
	in, isMessage := req.(proto.Message)
	if !isMessage {
		return term.Failf("leave out --"+dryRunFlag, "%s cannot be tried", method)
	}
	if err := tryOnly(method, in); err != nil {
		return err
	}
	if err := call(); err != nil {
		return err
	}
	if out, ok := reply.(proto.Message); ok && in.ProtoReflect().Descriptor().Fields().ByName("validate_only") != nil {
		a.preview = out
	}
	return nil
}
