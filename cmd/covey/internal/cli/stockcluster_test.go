package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/coveymq/covey/cmd/covey/internal/term"
	adminv1 "github.com/coveymq/covey/proto/covey/admin/v1"
)

func TestAStockClusterForPeople(t *testing.T) {
	var out bytes.Buffer
	a := &App{streams: &term.Streams{Out: &out, Err: &out}}
	err := a.showStock(&adminv1.StockCluster{
		Name: "stockClusters/east", Urls: []string{"tls://a:4222"}, State: adminv1.StockCluster_STATE_DEGRADED, Behind: 3,
		LastError: "server n2 does not answer", LastErrorTime: timestamppb.Now(),
		Servers: []*adminv1.StockServer{{Name: "n1", Present: true, Version: "2.15.2", AcknowledgedRevision: 42}, {Name: "n2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"east", "degraded", "server n1", "acknowledged 42", "server n2", "does not answer", "never"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestFilesOfAStockCluster(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	var c adminv1.StockCluster
	if err := (stockFiles{ca: file}).read(&c); err != nil || c.GetTlsCa() != "pem" || c.GetCredsFile() != "" {
		t.Errorf("%v, %v", &c, err)
	}
	if err := (stockFiles{creds: file + "x"}).read(&c); err == nil {
		t.Error("a file that is not there was read")
	}
	if stockName("east") != stockName("stockClusters/east") {
		t.Error("a full name is a name, too")
	}
}
