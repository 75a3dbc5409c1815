package conformance

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// placeholder matches {{function argument...}}.
var placeholder = regexp.MustCompile(`\{\{(\w+)(?: ([^}]*))?\}\}`)

// expandMax bounds {{repeat}}: the largest default limit of a server, 1 MiB of
// payload, fits with room to go beyond it.
const expandMax = 4 << 20

// expand replaces the placeholders of a template. info is the INFO of the
// connection the text is for; it is only asked for the nonce.
//
//	{{repeat N TEXT}}  TEXT, N times
//	{{jwt USER}}       the user's token
//	{{sig USER}}       the nonce of the connection, signed by the user
//	{{pub NAME}}       the public key of a user, bare key or account
//	{{tls}}            the keys of a tls block that name the server's certificate
func (w *world) expand(template, info string) (string, error) {
	var firstErr error
	text := placeholder.ReplaceAllStringFunc(template, func(m string) string {
		parts := placeholder.FindStringSubmatch(m)
		out, err := w.call(parts[1], parts[2], info)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		return out
	})
	return text, firstErr
}

func (w *world) call(function, argument, info string) (string, error) {
	switch function {
	case "repeat":
		return repeat(argument)
	case "pub":
		return w.publicKey(argument)
	case "tls":
		return w.tlsFiles, nil
	}
	u, ok := w.users[argument]
	if !ok {
		return "", fmt.Errorf("no user named %q", argument)
	}
	switch function {
	case "jwt":
		return u.token, nil
	case "sig":
		var known struct {
			Nonce string `json:"nonce"`
		}
		if err := json.Unmarshal([]byte(info), &known); err != nil {
			return "", fmt.Errorf("read nonce: %w", err)
		}
		return u.signature(known.Nonce)
	}
	return "", fmt.Errorf("unknown function %q", function)
}

func repeat(argument string) (string, error) {
	count, text, ok := strings.Cut(argument, " ")
	n, err := strconv.Atoi(count)
	if !ok || err != nil || n < 0 || n*len(text) > expandMax {
		return "", fmt.Errorf("bad repeat %q", argument)
	}
	return strings.Repeat(text, n), nil
}
