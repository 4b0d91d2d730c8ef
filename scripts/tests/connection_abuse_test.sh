#!/usr/bin/env bash
# Opens many unused connections on both ports of a node with few descriptors. The node must serve
# again as soon as they are closed. Argument: the directory of the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
bin=$1
trap cluster_end EXIT
CLUSTER_HTTP=1
cluster_begin "$bin" 1
pid=${CLUSTER_PIDS[1]}
http=http://127.0.0.1:${CLUSTER_HTTP_PORTS[1]}

open_descriptors() { find "/proc/$pid/fd" -mindepth 1 | wc -l; }
calls() { cluster_cli enqueue --timeout 2s --count 1 --type t; }
pages() { curl -sSf --max-time 2 "$http/ready"; }
expect 0 '1 created' calls
eventually 10 pages

# hold PORT COUNT: opens connections in this shell.
held=()
hold() {
  local i fd
  for ((i = 0; i < $2; i++)); do
    { exec {fd}<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || continue
    held+=("$fd")
  done
}
let_go() {
  local fd
  for fd in "${held[@]}"; do exec {fd}>&-; done
  held=()
}

command -v prlimit >/dev/null || { echo "skipped: there is no prlimit"; exit 77; }
before=$(open_descriptors)
limit=$((before > 60 ? before + 20 : 80))
for round in 1 2; do
  prlimit --pid "$pid" --nofile="$limit:"
  hold "${CLUSTER_PORTS[1]}" 150
  hold "${CLUSTER_HTTP_PORTS[1]}" 150
  # The node drops connections that say nothing for a while, so on a slow machine more are opened.
  full() {
    (($(open_descriptors) >= limit - 3)) && return
    hold "${CLUSTER_PORTS[1]}" 10
    hold "${CLUSTER_HTTP_PORTS[1]}" 10
    return 1
  }
  eventually 20 full
  let_go
  # The limit stays the same; the closed connections have freed descriptors.
  eventually 10 calls
  eventually 10 pages
  echo "round $round: $before descriptors before, $limit allowed, $(open_descriptors) afterwards"
done
kill -0 "$pid" || fail "the node is gone"
finish
