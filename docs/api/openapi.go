// Package apidocs holds the generated description of the REST API.
package apidocs

import _ "embed"

//go:embed covey.swagger.json
var openAPI []byte

// OpenAPI returns the OpenAPI description as JSON.
func OpenAPI() []byte { return openAPI }
