// Package process is how a broker is known to its machine: the files that say
// where it listens and which process it is, and the signals it is sent by name.
package process
