package monitor

import (
	"html/template"
	"net/http"
)

//nolint:gochecknoglobals // compiled once
var indexPage = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Covey broker</title></head>
<body><h1>Covey broker {{.Version}}</h1><p>{{.Name}}</p><ul>
{{- range .Links}}
<li><a href=".{{.Path}}">{{.Title}}</a></li>
{{- end}}
</ul></body></html>
`))

type link struct{ Path, Title string }

var indexLinks = [...]link{ //nolint:gochecknoglobals // a fixed table
	{"/varz", "General"},
	{"/jsz", "JetStream"},
	{"/connz", "Connections"},
	{"/accountz", "Accounts"},
	{"/accstatz", "Account statistics"},
	{"/subsz", "Subscriptions"},
	{"/routez", "Routes"},
	{"/leafz", "Leaf nodes"},
	{"/gatewayz", "Gateways"},
	{"/raftz", "Raft groups"},
	{"/healthz", "Health"},
	{"/debug/vars", "Memory"},
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	s.count("/")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = indexPage.Execute(w, struct { // the caller left if it fails
		Version, Name string
		Links         []link
	}{s.static.Version, s.static.ServerName, indexLinks[:]})
}
