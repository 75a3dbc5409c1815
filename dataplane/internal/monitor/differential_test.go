package monitor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// paths are what is asked of both servers. CID stands for the subscriber's.
var paths = []string{
	"/varz",
	"/connz", "/connz?auth=1", "/connz?auth=true&subs=1", "/connz?subs=detail", "/connz?subs=DETAIL&state=any",
	"/connz?state=open", "/connz?state=closed", "/connz?state=Closed&subs=1&auth=1", "/connz?state=closed&subs=detail",
	"/connz?state=any", "/connz?state=all&auth=1",
	"/connz?offset=1", "/connz?limit=1", "/connz?offset=1&limit=1", "/connz?offset=100", "/connz?limit=-1", "/connz?offset=-3",
	"/connz?cid=CID", "/connz?cid=CID&state=any", "/connz?cid=CID&state=closed", "/connz?cid=999999", "/connz?state=closed&cid=999999",
	"/connz?user=nobody", "/connz?acc=$G", "/connz?mqtt_client=x",
	"/connz?sort=cid", "/connz?sort=start", "/connz?sort=subs", "/connz?sort=pending", "/connz?sort=msgs_to", "/connz?sort=msgs_from",
	"/connz?sort=bytes_to", "/connz?sort=bytes_from", "/connz?sort=last", "/connz?sort=idle", "/connz?sort=uptime", "/connz?sort=rtt",
	"/connz?sort=stop&state=closed", "/connz?sort=reason&state=closed",
	"/connz?sort=stop", "/connz?sort=reason&state=any", "/connz?sort=nonsense",
	"/connz?auth=x", "/connz?subs=x", "/connz?offset=x", "/connz?limit=1.5", "/connz?cid=-1", "/connz?state=nonsense",
	"/connz?auth=x&limit=x", "/connz?limit=x&state=nonsense", "/connz?state=nonsense&sort=nonsense",
	"/routez", "/routez?subs=1", "/routez?subs=detail", "/routez?subs=x",
	"/subsz", "/subscriptionsz", "/subsz?subs=1&acc=$G", "/subsz?subs=1&test=foo&acc=$G", "/subsz?subs=1&test=foo.bar", "/subsz?subs=1&test=none",
	"/subsz?subs=1&offset=1&acc=$G", "/subsz?subs=1&limit=1&acc=$G", "/subsz?acc=$G", "/subsz?acc=nobody", "/subsz?subs=1&acc=nobody",
	"/subsz?test=foo.*", "/subsz?test=foo..bar", "/subsz?subs=x", "/subsz?limit=x", "/subsz?offset=x",
	"/accountz", "/accountz?acc=$G", "/accountz?acc=nobody",
	"/accstatz", "/accstatz?unused=1", "/accstatz?unused=x",
	"/healthz", "/healthz?js-enabled=1", "/healthz?js-enabled-only=true", "/healthz?js-server-only=1", "/healthz?js-meta-only=1",
	"/healthz?details=1", "/healthz?stream=s", "/healthz?stream=s&details=true", "/healthz?consumer=c&account=a", "/healthz?consumer=c&details=1&account=a",
	"/healthz?account=a&stream=s&consumer=c", "/healthz?js-enabled-only=x", "/healthz?js-server-only=x", "/healthz?details=x",
	"/leafz", "/leafz?subs=1", "/leafz?subs=x", "/leafz?acc=$G",
	"/gatewayz", "/gatewayz?accs=1", "/gatewayz?accs=x", "/gatewayz?subs=x", "/gatewayz?gw_name=x&acc_name=y",
	"/jsz", "/jsz?accounts=1&streams=1&consumers=1&config=1&raft=1", "/jsz?acc=x", "/jsz?leader-only=1", "/jsz?accounts=x",
	"/jsz?streams=x", "/jsz?consumers=x", "/jsz?direct-consumers=x", "/jsz?config=x", "/jsz?offset=x", "/jsz?limit=x",
	"/jsz?leader-only=x", "/jsz?raft=x", "/jsz?stream-leader-only=x",
	"/ipqueuesz", "/ipqueuesz?all=x", "/raftz", "/raftz?acc=x", "/stacksz", "/debug/vars",
	"/nonsense", "/varz/", "/connz/x",
}

// difference is a field that is not as in nats-server on purpose, with what is
// below it.
type difference struct{ field, reason string }

var differences = []difference{
	{"feature_flags", "the flags are for streams"},
	{"account_detail.imports", "the imports are of the system account's services"},
}

// onlyOurs are the names under which we say more than nats-server.
func onlyOurs(path string) bool {
	for _, name := range strings.Split(path, ".") {
		if name == "covey" || strings.HasPrefix(name, "covey_") {
			return true
		}
	}
	return false
}

func onPurpose(path string) bool {
	return slices.ContainsFunc(differences, func(d difference) bool {
		return path == d.field || strings.HasPrefix(path, d.field+".") || strings.HasPrefix(path, d.field+"[]")
	})
}

// shape maps the path of every field to its type. The elements of a list are
// taken together, as are the values of a map whose keys are data.
func shape(v any, path string, into map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		into[path] = "object"
		for name, field := range v {
			if path == "http_req_stats" {
				name = "*"
			}
			shape(field, strings.TrimPrefix(path+"."+name, "."), into)
		}
	case []any:
		into[path] = "list"
		for _, e := range v {
			shape(e, path+"[]", into)
		}
	case json.Number:
		into[path] = "integer"
		if strings.ContainsAny(v.String(), ".eE") {
			into[path] = "number"
		}
	default:
		into[path] = fmt.Sprintf("%T", v)
	}
}

func shapeOf(t *testing.T, r reply) map[string]string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.UseNumber()
	var v any
	must(t, d.Decode(&v))
	into := make(map[string]string)
	shape(v, "", into)
	return into
}

// compareShapes reports fields that one has and the other has not, or that have
// another type.
func compareShapes(t *testing.T, path string, want, got map[string]string) {
	t.Helper()
	for field, kind := range want {
		switch {
		case onPurpose(field):
		case got[field] == "":
			t.Errorf("%s: %s (%s) is missing", path, field, kind)
		case got[field] != kind && (got[field] != "integer" || kind != "number") && !fractional[field[strings.LastIndexByte(field, '.')+1:]]:
			t.Errorf("%s: %s is %s, in nats-server %s", path, field, got[field], kind)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(got)) {
		if want[field] == "" && !onlyOurs(field) && !onPurpose(field) {
			t.Errorf("%s: %s (%s) is not in nats-server", path, field, got[field])
		}
	}
}

// fractional are the fields that have fractions at times.
var fractional = map[string]bool{"cpu": true, "auth_timeout": true, "tls_timeout": true, "GCCPUFraction": true, "cache_hit_rate": true, "avg_fanout": true}

func TestAnswersAreShapedLikeNatsServers(t *testing.T) {
	theirs, our := stock(t, ""), ours(t, "")
	theirs.traffic(t)
	our.traffic(t)
	for _, path := range paths {
		want := theirs.get(t, strings.ReplaceAll(path, "CID", theirs.cid(t, "subscriber")))
		got := our.get(t, strings.ReplaceAll(path, "CID", our.cid(t, "subscriber")))
		switch {
		case got.code != want.code || got.kind != want.kind:
			t.Errorf("%s answers %d %s, nats-server %d %s", path, got.code, got.kind, want.code, want.kind)
		case path == "/stacksz":
		case want.code == http.StatusOK || json.Valid(want.body):
			compareShapes(t, path, shapeOf(t, want), shapeOf(t, got))
		case !bytes.Equal(got.body, want.body):
			t.Errorf("%s says %q, nats-server %q", path, got.body, want.body)
		}
	}
}

// Every difference in the list must be one: what has become equal is taken out.
func TestDifferencesAreReal(t *testing.T) {
	theirs, our := stock(t, ""), ours(t, "")
	found := make(map[string]bool)
	for _, path := range []string{"/varz", "/accountz", "/accountz?acc=$G"} {
		want, got := shapeOf(t, theirs.get(t, path)), shapeOf(t, our.get(t, path))
		for _, d := range differences {
			if want[d.field] != got[d.field] {
				found[d.field] = true
			}
		}
	}
	for _, d := range differences {
		if !found[d.field] {
			t.Errorf("%s is not different: %s", d.field, d.reason)
		}
	}
}
