// An ext_authz server as one writes it with golang-jwt: it verifies the token of every request and forwards the subject.
package main

import (
	"context"
	"crypto"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/genproto/googleapis/rpc/code"
	rpc "google.golang.org/genproto/googleapis/rpc/status"

	"curfew/bench/server"
)

// Keys by kid: PEM public keys, and one shared secret.
type keyFile struct {
	PublicKeys map[string]string `json:"publicKeys"`
	Secrets    map[string][]byte `json:"secrets"`
	Issuers    []string          `json:"issuers"`
	Audience   string            `json:"audience"`
}

type service struct {
	auth.UnimplementedAuthorizationServer
	keys    map[string]any
	issuers []string
	parser  *jwt.Parser
}

type claims struct {
	jwt.RegisteredClaims
	Scope string `json:"scope"`
}

func (s *service) Check(_ context.Context, request *auth.CheckRequest) (*auth.CheckResponse, error) {
	header := request.GetAttributes().GetRequest().GetHttp().GetHeaders()["authorization"]
	token, hasScheme := strings.CutPrefix(header, "Bearer ")
	if !hasScheme {
		return denied(), nil
	}
	var found claims
	_, err := s.parser.ParseWithClaims(token, &found, s.key)
	if err != nil || !slices.Contains(s.issuers, found.Issuer) || !slices.Contains(strings.Fields(found.Scope), "read") {
		return denied(), nil
	}
	return &auth.CheckResponse{
		Status: &rpc.Status{Code: int32(code.Code_OK)},
		HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{
			Headers: []*core.HeaderValueOption{{
				Header:       &core.HeaderValue{Key: "x-auth-subject", Value: found.Subject},
				AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			}},
		}},
	}, nil
}

func (s *service) key(token *jwt.Token) (any, error) {
	kid, _ := token.Header["kid"].(string)
	key, isKnown := s.keys[kid]
	if !isKnown {
		return nil, fmt.Errorf("unknown key")
	}
	return key, nil
}

func denied() *auth.CheckResponse {
	return &auth.CheckResponse{
		Status: &rpc.Status{Code: int32(code.Code_UNAUTHENTICATED)},
		HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: &auth.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode_Unauthorized},
		}},
	}
}

func readKeys(path string) (keyFile, map[string]any) {
	var file keyFile
	bytes, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(bytes, &file)
	}
	if err != nil {
		log.Fatal(err)
	}
	keys := map[string]any{}
	for kid, pem := range file.PublicKeys {
		keys[kid] = publicKey(pem)
	}
	for kid, secret := range file.Secrets {
		keys[kid] = secret
	}
	return file, keys
}

func publicKey(pem string) crypto.PublicKey {
	if key, err := jwt.ParseRSAPublicKeyFromPEM([]byte(pem)); err == nil {
		return key
	}
	key, err := jwt.ParseECPublicKeyFromPEM([]byte(pem))
	if err != nil {
		log.Fatal(err)
	}
	return key
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9001", "host:port or unix:/path")
	path := flag.String("keys", "", "JSON file of keys, issuers and audience")
	flag.Parse()
	file, keys := readKeys(*path)
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"RS256", "ES256", "HS256"}),
		jwt.WithAudience(file.Audience),
		jwt.WithExpirationRequired(),
	)
	server.Run(*listen, &service{keys: keys, issuers: file.Issuers, parser: parser})
}
