package natslog

// Options say where lines go and what they look like.
type Options struct {
	// Debug and Trace add the lines of those levels.
	Debug, Trace bool
	// Time and UTC stamp each line, in local time unless UTC is set.
	Time, UTC bool
	// File receives the lines; empty for the standard error stream.
	File string
	// SizeLimit is how many bytes File may have before it is moved aside; 0 for
	// no limit.
	SizeLimit int64
	// MaxFiles is how many files are kept, the current one among them; 0 for all.
	MaxFiles int
	// Syslog sends the lines to the local system log, RemoteSyslog to the one at
	// an address such as udp://localhost:514. They take precedence over File.
	Syslog       bool
	RemoteSyslog string
}
