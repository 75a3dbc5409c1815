package usage

import (
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"

	colmetricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const protobufType = "application/x-protobuf"

// ServeHTTP takes OTLP over HTTP, in protobuf, for collectors that cannot
// speak gRPC. Mount it at /v1/metrics.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "only POST", http.StatusMethodNotAllowed)
		return
	}
	if t, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || t != protobufType {
		http.Error(w, "only "+protobufType, http.StatusUnsupportedMediaType)
		return
	}
	body, err := readBody(w, req)
	if err != nil {
		answer(w, status.New(codes.InvalidArgument, "body cannot be read: "+err.Error()))
		return
	}
	var in colmetricpb.ExportMetricsServiceRequest
	if err := proto.Unmarshal(body, &in); err != nil {
		answer(w, status.New(codes.InvalidArgument, "body is not an export request"))
		return
	}
	out, err := r.Export(req.Context(), &in)
	if err != nil {
		answer(w, status.Convert(err))
		return
	}
	writeProto(w, http.StatusOK, out)
}

var errBodySize = errors.New("too large")

// readBody bounds both what is sent and what it unpacks to.
func readBody(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	var body io.Reader = http.MaxBytesReader(w, req.Body, RequestBytesMax)
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = z
	}
	b, err := io.ReadAll(io.LimitReader(body, RequestBytesMax+1))
	if err == nil && len(b) > RequestBytesMax {
		err = errBodySize
	}
	return b, err
}

// answer sends a failure; only 503 is one that exporters try again.
func answer(w http.ResponseWriter, st *status.Status) {
	code := http.StatusServiceUnavailable
	if st.Code() == codes.InvalidArgument {
		code = http.StatusBadRequest
	} else {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
	}
	writeProto(w, code, st.Proto())
}

func writeProto(w http.ResponseWriter, code int, m proto.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", protobufType)
	w.WriteHeader(code)
	_, _ = w.Write(b) // the client is gone if this fails, and will send again
}
