// An ext_authz server that lets everything pass: the least that a Go server can do.
package main

import (
	"context"
	"flag"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rpc "google.golang.org/genproto/googleapis/rpc/status"

	"curfew/bench/server"
)

type alwaysOk struct {
	auth.UnimplementedAuthorizationServer
}

func (alwaysOk) Check(context.Context, *auth.CheckRequest) (*auth.CheckResponse, error) {
	return &auth.CheckResponse{
		Status:       &rpc.Status{Code: 0},
		HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{}},
	}, nil
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9001", "host:port or unix:/path")
	flag.Parse()
	server.Run(*listen, alwaysOk{})
}
