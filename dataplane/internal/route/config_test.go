package route_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/coveymq/covey/dataplane/internal/route"
	"github.com/coveymq/covey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m) }

func TestURLs(t *testing.T) {
	u, err := route.ParseURL("nats-route://me:hidden@host:6222")
	if err != nil || u.Host != "host:6222" || u.User != "me" || u.Password.Reveal() != "hidden" {
		t.Errorf("%+v, %v", u, err)
	}
	for _, bad := range []string{
		"", "host:6222", "http://host:6222", "nats://host", "nats://:6222", "nats-route://me:hidden@host",
		"nats-route://me:hidden@ho st:1", "nats-route://me:hidden@host:port",
	} {
		if _, err := route.ParseURL(bad); err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), "hidden") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPasswordsAreRedacted(t *testing.T) {
	u, err := route.ParseURL("nats-route://me:hidden@host:6222")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "url", u, "password", u.Password)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "url", u, "password", u.Password)
	b, err := json.Marshal(struct {
		U route.URL
		P route.Secret
	}{u, u.Password})
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprint(u, " ", u.Password) + fmt.Sprintf("%v %+v %#v %s %q", u, u, u, u.Password, u.Password) + log.String() + string(b)
	if strings.Contains(shown, "hidden") {
		t.Errorf("a password shows in %s", shown)
	}
}
