package conn

import "github.com/coveymq/covey/dataplane/internal/account"

// Refusals that concern the connection itself; those of accounts and users are
// in package account. Text is empty where nats-server closes without a word.
//
//nolint:gochecknoglobals // a table of constants
var (
	clientClosed         = &account.Refusal{Reason: "Client Closed", Log: "the client closed the connection"}
	readError            = &account.Refusal{Reason: "Read Error", Log: "reading failed"}
	writeError           = &account.Refusal{Reason: "Write Error", Log: "writing failed"}
	slowPending          = &account.Refusal{Reason: "Slow Consumer (Pending Bytes)", Log: "too many bytes were pending"}
	slowDeadline         = &account.Refusal{Reason: "Slow Consumer (Write Deadline)", Log: "the client took nothing for too long"}
	serverShutdown       = &account.Refusal{Reason: "Server Shutdown", Log: "the broker is shutting down"}
	authTimeout          = &account.Refusal{Text: "Authentication Timeout", Reason: "Authentication Timeout", Log: "no CONNECT in time"}
	tlsHandshake         = &account.Refusal{Reason: "TLS Handshake Failure", Log: "the TLS handshake failed"}
	kicked               = &account.Refusal{Reason: "Kicked", Log: "the connection was ended by request"}
	throttled            = &account.Refusal{Text: "Connection throttling is active. Please try again later.", Reason: "Maximum Connections Exceeded", Log: "too many TLS handshakes in a second"}
	badProxyHeader       = &account.Refusal{Reason: "Protocol Violation", Log: "the PROXY protocol header could not be read"}
	stale                = &account.Refusal{Text: "Stale Connection", Reason: "Stale Connection", Log: "PINGs were not answered"}
	tooManyConnections   = &account.Refusal{Text: "maximum connections exceeded", Reason: "Maximum Connections Exceeded", Log: "the broker has as many connections as it may"}
	tooManySubscriptions = &account.Refusal{Text: "maximum subscriptions exceeded", Reason: "Maximum Subscriptions Exceeded", Log: "the connection has more subscriptions than it may have now"}
	unknownOperation     = &account.Refusal{Text: "Unknown Protocol Operation", Reason: "Protocol Violation", Log: "unknown protocol operation"}
	controlLine          = &account.Refusal{Text: "maximum control line exceeded", Reason: "Maximum Control Line Exceeded", Log: "a control line was over the limit"}
	payload              = &account.Refusal{Text: "Maximum Payload Violation", Reason: "Maximum Message Payload Exceeded", Log: "a message was over the limit"}
	badArguments         = &account.Refusal{Reason: "Protocol Violation", Log: "a line had the wrong arguments"}
	badConnect           = &account.Refusal{Reason: "Protocol Violation", Log: "CONNECT was not valid JSON"}
	badInfo              = &account.Refusal{Reason: "Protocol Violation", Log: "INFO was not valid JSON"}
	badProtocol          = &account.Refusal{Text: "invalid client protocol", Reason: "Bad Client Protocol Version", Log: "unknown client protocol version"}
	needsHeaders         = &account.Refusal{Text: "no responders requires headers support", Reason: "No Responders Requires Headers", Log: "no_responders without headers"}
	headersOff           = &account.Refusal{Reason: "Protocol Violation", Log: "HPUB without headers negotiated"}
	clientErr            = &account.Refusal{Reason: "Parse Error", Log: "the client sent -ERR"}
	recovered            = &account.Refusal{Reason: "Internal Client", Log: "a fault of ours"}
)
