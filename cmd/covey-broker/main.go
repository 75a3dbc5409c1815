// Command covey-broker runs one broker.
package main

import (
	"context"
	"os"

	"github.com/coveymq/covey/dataplane"
)

var version = "dev"

func main() {
	os.Exit(dataplane.Command(context.Background(), os.Args[1:], version, os.Stdout, os.Stderr))
}
