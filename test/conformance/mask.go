package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// infoDropped are INFO fields that say what the server is rather than what it
// does: build facts, and the level of an API (streams) that a client asks for
// separately. They are not compared.
func infoDropped() []string { return []string{"go", "git_commit", "xkey", "api_lvl"} }

// infoMasked are INFO fields whose value must differ; that they are there, and
// the JSON type of the value, is compared.
func infoMasked() []string { return []string{"server_id", "client_id", "nonce", "port"} }

// maskInfo rewrites an INFO line so that two servers can be compared: keys in
// order, volatile values replaced by their type.
func maskInfo(line string) string {
	verb, text, _ := strings.Cut(line, " ")
	if verb != "INFO" {
		return line
	}
	var info map[string]any
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		return line + " <not JSON>"
	}
	if info["server_name"] == info["server_id"] {
		info["server_name"] = "(server_id)"
	}
	for _, k := range infoDropped() {
		delete(info, k)
	}
	keys := make([]string, 0, len(info))
	for k := range info {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b strings.Builder
	b.WriteString("INFO")
	for _, k := range keys {
		fmt.Fprintf(&b, " %s=%s", k, infoValue(k, info[k]))
	}
	return b.String()
}

func infoValue(key string, v any) string {
	if slices.Contains(infoMasked(), key) {
		return fmt.Sprintf("<%T>", v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "<unprintable>"
	}
	return string(text)
}
