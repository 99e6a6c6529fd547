#!/bin/bash
# The gateway's preStop hook. Envoy's image has no HTTP client, so bash connects to the admin port itself.

ask() { # METHOD PATH
  exec 3<>/dev/tcp/127.0.0.1/9901 || return
  printf '%s %s HTTP/1.1\r\nhost: envoy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n' "$1" "$2" >&3
  cat <&3
  exec 3>&-
}

# From now on, each response closes its connection, so that clients go elsewhere. Envoy still serves new connections, until
# kube-proxy sends no more.
ask POST /healthcheck/fail >/dev/null
sleep 5

# Open requests get 15 seconds more. Then comes SIGTERM, which ends Envoy at once.
for _ in {1..15}; do
  active=$(ask GET '/stats?filter=^http\.service\.downstream_rq_active$') || exit
  [[ $active == *'downstream_rq_active: 0'* ]] && exit
  sleep 1
done
