package embedetcd

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// Whoever reads after a write was answered sees that write or a later one.
func TestReadsSeeWhatWasAnswered(t *testing.T) {
	s, err := open(t, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	var answered atomic.Int64
	var all sync.WaitGroup
	const writes = 50
	all.Go(func() {
		for n := int64(1); n <= writes; n++ {
			if _, err := s.Client().Put(t.Context(), "k", strconv.FormatInt(n, 10)); err != nil {
				t.Error(err)
			}
			answered.Store(n)
		}
	})
	for range 4 {
		all.Go(func() {
			for least := int64(0); least < writes; {
				least = answered.Load()
				got, err := s.Client().Get(t.Context(), "k")
				if err != nil {
					t.Error(err)
					return
				}
				if least == 0 {
					continue
				}
				if n, err := strconv.ParseInt(string(got.Kvs[0].Value), 10, 64); err != nil || n < least {
					t.Errorf("read %d after %d was answered (%v)", n, least, err)
					return
				}
			}
		})
	}
	all.Wait()
}
