// Package docs holds those documents that programs show.
package docs

import _ "embed"

//go:embed errors.md
var errors string

// Errors returns the list of error reasons, errors.md.
func Errors() string { return errors }
