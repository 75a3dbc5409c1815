package archtest_test

// module is the path that our own packages begin with.
const module = "github.com/coveymq/covey"

// arrow forbids imports. From and to are folders of the module, or import paths
// of others; both mean everything below them, too.
type arrow struct {
	from, to string
	except   []string // folders below to that are allowed
	reason   string
}

// forbidden is the table of DESIGN.md the other way round: arrows never drawn.
// It is checked on what a package and its dependencies of ours import.
var forbidden = []arrow{
	{from: "controlplane", to: "dataplane", reason: "the planes meet on the wire only"},
	{from: "dataplane", to: "controlplane", reason: "the planes meet on the wire only"},
	{from: "dataplane", to: "billing", reason: "the broker counts, and knows no money"},
	{from: "dataplane", to: "proto/covey/api", reason: "the broker speaks the fleet contract only"},
	{from: "dataplane", to: "go.etcd.io/etcd", reason: "the broker knows nothing of the store"},
	{from: "accounts", to: "proto", reason: "the identity domain is pure"},
	{from: "accounts", to: "google.golang.org/grpc", reason: "the identity domain is pure"},
	{from: "accounts", to: "go.etcd.io/etcd", reason: "the identity domain is pure"},
	{from: "accounts", to: "controlplane", reason: "the identity domain is pure"},
	{from: "accounts", to: "dataplane", reason: "the identity domain is pure"},
	{from: "accounts", to: "billing", reason: "the identity domain is pure"},
	{from: "billing", to: "proto", reason: "the money domain stands alone"},
	{from: "billing", to: "google.golang.org/grpc", reason: "the money domain stands alone"},
	{from: "billing", to: "go.etcd.io/etcd", reason: "the ledger is SQL"},
	{from: "billing", to: "controlplane", reason: "the money domain stands alone"},
	{from: "billing", to: "dataplane", reason: "the money domain stands alone"},
	{from: "proto", to: "accounts", reason: "contracts have no logic"},
	{from: "proto", to: "controlplane", reason: "contracts have no logic"},
	{from: "proto", to: "dataplane", reason: "contracts have no logic"},
	{from: "proto", to: "internal", reason: "contracts have no logic"},
	{from: "internal", to: "accounts", reason: "plumbing has no product knowledge"},
	{from: "internal", to: "billing", reason: "plumbing has no product knowledge"},
	{from: "internal", to: "controlplane", reason: "plumbing has no product knowledge"},
	{from: "internal", to: "dataplane", reason: "plumbing has no product knowledge"},
	{from: "internal", to: "proto", reason: "plumbing has no product knowledge"},
	{from: "terraform", to: "controlplane", reason: "the provider is a client of the public API"},
	{from: "terraform", to: "dataplane", reason: "the provider is a client of the public API"},
	{from: "cmd/covey/internal/cli", to: "controlplane", reason: "the command line is a client of the public API"},
	{from: "cmd/covey/internal/cli", to: "dataplane", reason: "the command line is a client of the public API"},
	{
		from: "", to: "github.com/nats-io/nats-server/v2", except: []string{"github.com/nats-io/nats-server/v2/conf"},
		reason: "the broker is ours; nats-server judges it in tests, and lends its configuration grammar",
	},
}

// folders is what DESIGN.md names, whether it exists yet or not: a package in
// any other folder needs a line here, and a decision.
var folders = map[string]string{
	"accounts":     "the identity domain",
	"billing":      "the money domain",
	"cmd":          "mains",
	"controlplane": "the truth about tenants",
	"dataplane":    "the broker",
	"internal":     "plumbing",
	"proto":        "contracts",
	"docs":         "documents; docs/api is a package so that the OpenAPI document can be embedded",
	"terraform":    "the provider",
	"test":         "tests of several processes",
}

// mustExist are packages that the tables above lose their meaning without: a
// rename must come with a change here.
var mustExist = []string{"internal/errs", "internal/lifecycle", "proto/covey/api/v1", "proto/covey/fleet/v1", "cmd/covey/internal/cli"}

// exception allows one file or function to break a rule.
type exception struct{ where, reason string }

// bareGoAllowed are the files that may use the go keyword.
var bareGoAllowed []exception

// Caps of the house style.
const (
	fileLinesMax     = 600
	testFileLinesMax = 800
	funcLinesMax     = 70
)

// largeFiles and longFuncs are reviewed exceptions: a path, or path:function.
var (
	largeFiles []exception
	longFuncs  []exception
)
