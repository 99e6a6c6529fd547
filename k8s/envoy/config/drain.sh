#!/bin/bash
# The gateway's preStop hook. Envoy's image has no HTTP client; bash can speak to the admin port by itself.

ask() { # METHOD PATH
  exec 3<>/dev/tcp/127.0.0.1/9901 || return
  printf '%s %s HTTP/1.1\r\nhost: envoy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n' "$1" "$2" >&3
  cat <&3
  exec 3>&-
}

# Each answer now closes its connection, so that clients go elsewhere. New ones are served until kube-proxy sends none.
ask POST /healthcheck/fail >/dev/null
sleep 5

# What is still being answered gets 15 seconds more. SIGTERM, which comes next, ends Envoy at once.
for _ in {1..15}; do
  active=$(ask GET '/stats?filter=^http\.service\.downstream_rq_active$') || exit
  [[ $active == *'downstream_rq_active: 0'* ]] && exit
  sleep 1
done
