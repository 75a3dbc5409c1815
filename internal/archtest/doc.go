// Package archtest holds the architecture: which folder may import which, who
// may start goroutines, and how large files and functions may grow. It is a
// test and nothing else; what it allows is in the tables of rules_test.go, each
// entry with its reason.
package archtest
