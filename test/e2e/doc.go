// Package e2e walks the whole journey as a user would: it starts the real
// `covey` program in a home of its own, signs up tenants, and judges what
// happens with nats.go and the stock `nats` CLI. Of ours it
// imports the public contracts only.
//
// COVEY_BIN is the folder with the programs, as `make build judges` fills it.
// Without it the tests build what they need. They are skipped with -short.
package e2e
