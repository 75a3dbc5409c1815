package config

import "github.com/nats-io/jwt/v2"

// checkSentinel sees whether clients without a JWT could connect with the one
// that stands in for it: they cannot sign for it.
func (f *file) checkSentinel() {
	n, ok := f.defined["default_sentinel"]
	if !ok || f.operator.Sentinel == "" {
		return
	}
	claims, err := jwt.DecodeUserClaims(f.operator.Sentinel)
	switch {
	case err != nil:
		f.problem(n, "default sentinel JWT not valid: %v", err)
	case claims.BearerToken:
	case claims.IssuerAccount != "" && claims.HasEmptyPermissions(): // the role may make it one
	default:
		f.problem(n, "default sentinel must be a bearer token")
	}
}
