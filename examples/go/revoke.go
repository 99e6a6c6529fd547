// Ends a session:  go run revoke.go 127.0.0.1:6379 publish.lua https://issuer.example SESSION_ID
// `bin/curfew log script > publish.lua` writes the script. This program needs no package; with go-redis, call
// rdb.Eval(ctx, script, []string{"{curfew}:head"}, event) instead.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
)

func main() {
	address, file, issuer, session := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	script, err := os.ReadFile(file)
	exitOn(err)
	event, err := json.Marshal(map[string]string{"iss": issuer, "kind": "session", "id": session, "reason": "logout"})
	exitOn(err)
	redis, err := net.Dial("tcp", address)
	exitOn(err)
	const eval = "*5\r\n$4\r\nEVAL\r\n$%d\r\n%s\r\n$1\r\n1\r\n$13\r\n{curfew}:head\r\n$%d\r\n%s\r\n"
	fmt.Fprintf(redis, eval, len(script), script, len(event), event)
	reply, err := bufio.NewReader(redis).ReadString('\n')
	exitOn(err)
	if !strings.HasPrefix(reply, ":") {
		exitOn(fmt.Errorf("not revoked: %s", strings.TrimSpace(reply)))
	}
	fmt.Println(strings.TrimSpace(reply[1:]))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
