// Package server runs an ext_authz server on the address given by -listen: host:port or unix:/path. With -cert, -key and
// -client-ca it speaks mutual TLS.
package server

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

var (
	cert     = flag.String("cert", "", "PEM file of the server's certificate; default no TLS")
	key      = flag.String("key", "", "PEM file of its key")
	clientCA = flag.String("client-ca", "", "PEM file of the authority of clients' certificates")
)

func options() []grpc.ServerOption {
	if *cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		log.Fatal(err)
	}
	pem, err := os.ReadFile(*clientCA)
	if err != nil {
		log.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(pem)
	return []grpc.ServerOption{grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    authorities,
	}))}
}

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
	server := grpc.NewServer(options()...)
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
