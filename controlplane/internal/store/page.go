package store

import (
	"context"
	"encoding/base64"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/coveymq/covey/internal/errs"
)

const (
	pageSizeDefault = 100
	pageSizeMax     = 1000
)

// Page says which part of a list is wanted.
type Page struct {
	Size  int
	After string // the last segment of the last key of the page before
}

// ParsePage reads a page size and token as callers give them.
func ParsePage(size int32, token string) (Page, error) {
	p := Page{Size: int(size)}
	if p.Size <= 0 {
		p.Size = pageSizeDefault
	}
	p.Size = min(p.Size, pageSizeMax)
	if token == "" {
		return p, nil
	}
	after, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(after) == 0 || strings.ContainsAny(string(after), "/\x00") {
		return Page{}, errs.New(errs.Invalid, "INVALID_PAGE_TOKEN", "the page token is not one that a list returned").WithField("page_token")
	}
	p.After = string(after)
	return p, nil
}

// Token returns the page token for what comes after segment; none for "".
func Token(segment string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(segment))
}

// loadPage reads one page of the records under prefix, in key order, and the
// segment after which the next one begins, "" when this is the last.
func loadPage[T any, R interface {
	*T
	record
}](ctx context.Context, v *View, prefix string, p Page,
) ([]T, string, error) {
	from := prefix
	if p.After != "" {
		from = prefix + p.After + "\x00"
	}
	r := v.fetched[wanted{key: prefix, prefix: true}]
	if r == nil || p.After != "" || p.Size != pageSizeMax {
		got, err := v.read(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix)), clientv3.WithLimit(int64(p.Size)))
		if err != nil {
			return nil, "", unavailable("list", err)
		}
		r = (*etcdserverpb.RangeResponse)(got)
	}
	items := make([]T, len(r.Kvs))
	for i, kv := range r.Kvs {
		if err := decode(string(kv.Key), kv.Value, kv.ModRevision, R(&items[i])); err != nil {
			return nil, "", err
		}
	}
	if !r.More || len(r.Kvs) == 0 {
		return items, "", nil
	}
	return items, strings.TrimPrefix(string(r.Kvs[len(r.Kvs)-1].Key), prefix), nil
}
