package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// JudgeEnv names the environment variable that holds the path of a stock
// nats-server.
const JudgeEnv = "COVEY_JUDGE_SERVER"

// Judge returns the path of the stock nats-server: path if given, else the
// one of the environment, else one built from tools/judges into bin/ at the
// root of the repository.
func Judge(ctx context.Context, path string) (string, error) {
	if path == "" {
		path = os.Getenv(JudgeEnv)
	}
	if path != "" {
		return filepath.Abs(path)
	}
	return judge(ctx, "nats-server", "github.com/nats-io/nats-server/v2")
}

// BinEnv names the environment variable that holds the folder with the programs.
const BinEnv = "COVEY_BIN"

// NATS returns the path of the stock command line tool: in the folder of the
// environment, else built from tools/judges into bin/ at the root of the
// repository.
func NATS(ctx context.Context) (string, error) {
	if dir := os.Getenv(BinEnv); dir != "" {
		return filepath.Abs(filepath.Join(dir, "nats"))
	}
	return judge(ctx, "nats", "github.com/nats-io/natscli/nats")
}

// judge builds a program of tools/judges.
func judge(ctx context.Context, name, pkg string) (string, error) {
	root, err := repositoryRoot()
	if err != nil {
		return "", err
	}
	out := filepath.Join(root, "bin", name)
	build := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(root, "tools", "judges"), "-o", out, pkg)
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the judge: %w: %s", err, text)
	}
	return out, nil
}

func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("not inside the repository")
		}
		dir = parent
	}
}
