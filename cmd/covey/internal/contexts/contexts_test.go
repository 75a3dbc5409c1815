package contexts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coveymq/covey/cmd/covey/internal/contexts"
)

func TestKeyPrintsNowhere(t *testing.T) {
	c := &contexts.Context{Name: "acme", APIKey: contexts.NewAPIKey("hush")}
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("context", "key", c.APIKey, "context", c)
	encoded, err := json.Marshal(map[string]any{"key": c.APIKey, "context": c})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(c.APIKey), fmt.Sprintf("%v %+v %s %q", c.APIKey, c.APIKey, c.APIKey, c.APIKey), fmt.Sprintf("%#v", c.APIKey),
		string(encoded), logged.String(),
	} {
		if strings.Contains(text, "hush") {
			t.Errorf("the key is in %s", text)
		}
	}
}

func TestStoreKeepsAndSelects(t *testing.T) {
	s := contexts.Open(filepath.Join(t.TempDir(), "covey"))
	if _, err := s.Get("acme"); !errors.Is(err, contexts.ErrNotFound) {
		t.Errorf("Get of nothing = %v", err)
	}
	want := &contexts.Context{Name: "acme", Role: contexts.RoleOwner, APIAddr: "h:1", APIKey: contexts.NewAPIKey("hush"), Organization: "acme"}
	if err := s.Create(want); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(want); !errors.Is(err, contexts.ErrExists) {
		t.Errorf("second Create = %v", err)
	}
	got, err := s.Get("acme")
	if err != nil || *got != *want {
		t.Errorf("Get = %+v, %v", got, err)
	}
	if err := s.Use("nobody"); !errors.Is(err, contexts.ErrNotFound) {
		t.Errorf("Use of nothing = %v", err)
	}
	if did, err := s.UseIfNone("acme"); !did || err != nil {
		t.Errorf("UseIfNone = %v, %v", did, err)
	}
	if did, err := s.UseIfNone("acme"); did || err != nil {
		t.Errorf("second UseIfNone = %v, %v", did, err)
	}
	if err := s.Delete("acme"); err != nil {
		t.Fatal(err)
	}
	if current, err := s.Current(); current != "" || err != nil {
		t.Errorf("selected after the deletion: %q, %v", current, err)
	}
}

func TestNamesCannotLeaveTheDirectory(t *testing.T) {
	s := contexts.Open(t.TempDir())
	for _, name := range []string{"", ".", "..", "../x", "a/b", ".hidden", "a\x00b", strings.Repeat("x", 65)} {
		if err := s.Put(&contexts.Context{Name: name}); !errors.Is(err, contexts.ErrName) {
			t.Errorf("Put %q = %v", name, err)
		}
		if err := s.Delete(name); !errors.Is(err, contexts.ErrName) {
			t.Errorf("Delete %q = %v", name, err)
		}
	}
}

func TestOneDamagedFileDoesNotHideTheOthers(t *testing.T) {
	dir := t.TempDir()
	s := contexts.Open(dir)
	if err := s.Put(&contexts.Context{Name: "good", Role: contexts.RoleOperator}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "contexts", "bad.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := s.List()
	if len(all) != 1 || err == nil {
		t.Errorf("List = %v, %v", all, err)
	}
	if c, err := s.LatestOperator(); err != nil || c.Name != "good" {
		t.Errorf("LatestOperator = %v, %v", c, err)
	}
}
