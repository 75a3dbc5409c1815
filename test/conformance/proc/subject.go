package proc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Subject returns the path of our broker: the one in the folder of the
// environment, else one built into the given folder.
func Subject(ctx context.Context, dir string) (string, error) {
	const name = "covey-broker"
	if bin := os.Getenv(BinEnv); bin != "" {
		path, err := filepath.Abs(filepath.Join(bin, name))
		if err != nil {
			return "", err
		}
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("%s has no %s: %w; run `make build`", BinEnv, name, err)
		}
		return path, nil
	}
	out := filepath.Join(dir, name)
	build := exec.CommandContext(ctx, "go", "build", "-o", out, "github.com/coveymq/covey/cmd/"+name)
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the broker: %w: %s", err, text)
	}
	return out, nil
}
