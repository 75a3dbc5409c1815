package monitor

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
)

// OptionsError is a request whose options cannot be read.
type OptionsError struct{ cause error }

// Error says what is wrong with the options.
func (e *OptionsError) Error() string { return e.cause.Error() }

// Unwrap returns the cause.
func (e *OptionsError) Unwrap() error { return e.cause }

// option is where an option of a request over NATS goes in a query over HTTP.
type option struct {
	name string // in the query
	read func(json.RawMessage) (string, error)
}

// asText reads a value of type T and formats it as a query has it.
func asText[T any](raw json.RawMessage) (string, error) {
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", err
	}
	return fmt.Sprint(v), nil
}

func text(name string) option    { return option{name, asText[string]} }
func boolean(name string) option { return option{name, asText[bool]} }
func integer(name string) option { return option{name, asText[int]} }

// states are the connections that one is asked for by number.
func states(raw json.RawMessage) (string, error) {
	all := [...]string{"open", "closed", "any"}
	var n int
	if err := json.Unmarshal(raw, &n); err != nil {
		return "", err
	}
	if n < 0 || n >= len(all) {
		return strconv.Itoa(n), nil
	}
	return all[n], nil
}

// detail is how subscriptions are asked for with their details.
func detail(raw json.RawMessage) (string, error) {
	var v bool
	if err := json.Unmarshal(raw, &v); err != nil || !v {
		return "", err
	}
	return "detail", nil
}

// endpoint answers requests over NATS by the name of what is asked for.
type endpoint struct {
	options map[string]option
	answer  func(*Server, *query) (any, error)
}

// endpoints are those that a broker without streams has.
var endpoints = map[string]endpoint{ //nolint:gochecknoglobals // a fixed table
	"VARZ": {nil, (*Server).varz},
	"CONNZ": {map[string]option{
		"sort": text("sort"), "auth": boolean("auth"), "subscriptions": boolean("subs"), "subscriptions_detail": {"subs", detail},
		"offset": integer("offset"), "limit": integer("limit"), "cid": {"cid", asText[uint64]}, "mqtt_client": text("mqtt_client"),
		"state": {"state", states}, "user": text("user"), "acc": text("acc"), "filter_subject": text("filter_subject"),
	}, (*Server).connz},
	"SUBSZ": {map[string]option{
		"offset": integer("offset"), "limit": integer("limit"), "subscriptions": boolean("subs"), "account": text("acc"), "test": text("test"),
	}, (*Server).subsz},
	"ROUTEZ":   {map[string]option{"subscriptions": boolean("subs"), "subscriptions_detail": {"subs", detail}}, (*Server).routez},
	"GATEWAYZ": {map[string]option{"accounts": boolean("accs"), "subscriptions": boolean("subs"), "subscriptions_detail": {"subs", detail}}, (*Server).gatewayz},
	"LEAFZ":    {map[string]option{"subscriptions": boolean("subs"), "account": text("acc")}, (*Server).leafz},
	"ACCOUNTZ": {map[string]option{"account": text("acc")}, (*Server).accountz},
	"JSZ": {map[string]option{
		"account": text("acc"), "accounts": boolean("accounts"), "streams": boolean("streams"), "consumer": boolean("consumers"),
		"direct_consumer": boolean("direct-consumers"), "config": boolean("config"), "leader_only": boolean("leader-only"),
		"offset": integer("offset"), "limit": integer("limit"), "raft": boolean("raft"), "stream_leader_only": boolean("stream-leader-only"),
	}, (*Server).jsz},
	"HEALTHZ": {map[string]option{
		"js-enabled": boolean("js-enabled"), "js-enabled-only": boolean("js-enabled-only"), "js-server-only": boolean("js-server-only"),
		"js-meta-only": boolean("js-meta-only"), "account": text("account"), "stream": text("stream"), "consumer": text("consumer"),
		"details": boolean("details"),
	}, (*Server).healthStatus},
	"EXPVARZ":   {nil, (*Server).expvarz},
	"IPQUEUESZ": {map[string]option{"all": boolean("all"), "filter": text("filter")}, func(*Server, *query) (any, error) { return map[string]struct{}{}, nil }},
	"RAFTZ":     {map[string]option{"account": text("acc"), "group": text("group")}, func(*Server, *query) (any, error) { return struct{}{}, nil }},
}

// Names returns what there is to ask for.
func Names() []string {
	names := make([]string, 0, len(endpoints))
	for name := range endpoints {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Ask answers a request over NATS by the name of what is asked for, with options
// as JSON. Those in force overrule them: they are named as in a query over HTTP.
// An *OptionsError is the caller's fault.
func (s *Server) Ask(name string, options []byte, force url.Values) (any, error) {
	e, ok := endpoints[name]
	if !ok {
		return nil, &OptionsError{fmt.Errorf("nothing is known of %s", name)}
	}
	values, err := e.read(options)
	if err != nil {
		return nil, &OptionsError{err}
	}
	for name, v := range force {
		values[name] = v
	}
	v, err := e.answer(s, &query{values: values})
	if err != nil {
		return (*struct{})(nil), err // null beside the error, as nats-server has it
	}
	return v, nil
}

func (e *endpoint) read(options []byte) (url.Values, error) {
	values := make(url.Values)
	if len(options) == 0 {
		return values, nil
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(options, &given); err != nil {
		return nil, err
	}
	for name, raw := range given {
		o, known := e.options[name]
		if !known || string(raw) == "null" {
			continue // a filter, or for another server
		}
		v, err := o.read(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if v != "" && values.Get(o.name) != "detail" {
			values.Set(o.name, v)
		}
	}
	return values, nil
}

// expvarz says what /debug/vars says, under the same restriction.
func (*Server) expvarz(*query) (any, error) {
	v := Vars{CommandLine: os.Args[:1], MemStats: new(runtime.MemStats)}
	runtime.ReadMemStats(v.MemStats)
	return v, nil
}
