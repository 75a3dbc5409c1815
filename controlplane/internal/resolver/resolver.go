// Package resolver serves account claims to stock nats-servers over HTTP, as
// their URL account resolver asks for them: GET /jwt/v1/accounts/<public key>.
// Claims are signed and hold no secret, and whoever asks must know the key.
package resolver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/coveymq/covey/accounts"
	"github.com/coveymq/covey/controlplane/internal/store"
)

// Path is where the handler belongs.
const Path = "/jwt/v1/accounts/"

// Claims reads signed account claims.
type Claims interface {
	// Claims returns the claims of an account and their revision, or
	// store.ErrNotFound.
	Claims(ctx context.Context, public string) (string, int64, error)
}

// Handler returns the resolver's handler. A request without a key is how a
// nats-server checks at its start that somebody answers.
func Handler(claims Claims, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path+"{$}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET "+Path+"{key}", func(w http.ResponseWriter, r *http.Request) {
		key := r.PathValue("key")
		if !accounts.IsAccountKey(key) {
			http.Error(w, "not an account key", http.StatusBadRequest)
			return
		}
		text, _, err := claims.Claims(r.Context(), key)
		switch {
		case errors.Is(err, store.ErrNotFound):
			http.Error(w, "no such account", http.StatusNotFound)
		case err != nil:
			log.WarnContext(r.Context(), "claims unreadable", "account", key, "err", err)
			http.Error(w, "try again", http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "application/jwt")
			_, _ = w.Write([]byte(text)) //nolint:gosec // signed claims, not HTML
		}
	})
	return mux
}
