// Package config reads what a broker is told: nats-server's configuration file
// and command line, with a block of our own.
//
// The grammar is nats-server's own parser. Every key is known here: it is
// supported, or it is refused with file, line and the words "not supported yet".
// An unknown key is refused too, and all problems are told at once; nothing is
// silently ignored. The package opens no listener and starts nothing.
package config
