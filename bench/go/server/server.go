// Package server runs an ext_authz server on the address given by -listen: host:port or unix:/path.
package server

import (
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
)

// Run serves until SIGTERM.
func Run(listen string, service auth.AuthorizationServer) {
	network, address := "tcp", listen
	if path, isUnix := strings.CutPrefix(listen, "unix:"); isUnix {
		network, address = "unix", path
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	auth.RegisterAuthorizationServer(server, service)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		server.Stop()
	}()
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
