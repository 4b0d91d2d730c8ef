#!/usr/bin/env bash
# Measures the cost of 500 viewers of /events on the leader of three nodes: the p99 of an enqueue in
# alternating rounds without and with viewers, and the memory of a viewer. The exit status is 1 if
# the median p99 with viewers is more than 1.2 times the median without.
#
#   scripts/measure-viewers.sh [DIR [VIEWERS [ROUNDS]]]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/programs.sh
source "$here/programs.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
require_programs "${1:-}"
viewers=${2:-500}
rounds=${3:-5}
readers=()
stop_viewers() {
  local pid
  for pid in "${readers[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  readers=()
}
end() {
  local status=$?
  stop_viewers
  cluster_end "$status"
}
trap end EXIT
CLUSTER_HTTP=1
cluster_begin "$BIN" 3
leader=$(cluster_leader)
events=http://127.0.0.1:${CLUSTER_HTTP_PORTS[leader]}/events

# The stream does not end, so curl stops at its time limit and still prints the status.
status=$(curl -sS --max-time 2 -o /dev/null -w '%{http_code} %{content_type}' -H 'Accept: text/event-stream' "$events" \
  2>/dev/null || true)
if [[ $status != '200 text/event-stream'* ]]; then
  echo "skipped: GET /events answers '$status'"
  exit 77
fi

sockets() { find "/proc/${CLUSTER_PIDS[leader]}/fd" -lname 'socket:*' | wc -l; }
resident_kib() { awk '/VmRSS/ { print $2 }' "/proc/${CLUSTER_PIDS[leader]}/status"; }
# Each curl process holds up to 250 streams. The fragment makes curl repeat the URL; it is not sent.
start_viewers() {
  local left=$viewers some before end
  before=$(sockets)
  while ((left > 0)); do
    some=$((left > 250 ? 250 : left))
    curl -sS --no-buffer --parallel --parallel-immediate --parallel-max 250 -H 'Accept: text/event-stream' \
      "$events#[1-$some]" >"$CLUSTER_DIR/viewers.${#readers[@]}" 2>/dev/null &
    readers+=($!)
    left=$((left - some))
  done
  end=$((SECONDS + 30))
  until (($(sockets) >= before + viewers)); do
    if ((SECONDS >= end)); then
      echo "only $(($(sockets) - before)) of $viewers viewers are connected" >&2
      return 1
    fi
    sleep 0.1
  done
}
p99() {
  "$BIN/dqueue-bench" enqueue --server "$CLUSTER_SERVERS" --jobs 2000 --in-flight 1 -o json |
    sed -nE 's/.*"p99_ms": ?([0-9.]+).*/\1/p'
}
median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

p99 >/dev/null
memory=0
for ((round = 0; round < rounds; round++)); do
  p99 >>"$CLUSTER_DIR/without"
  before=$(resident_kib)
  start_viewers
  ((memory > 0)) || memory=$(($(resident_kib) - before))
  p99 >>"$CLUSTER_DIR/with"
  grep -q '^data:' "$CLUSTER_DIR"/viewers.* || {
    echo "the viewers received nothing" >&2
    exit 1
  }
  stop_viewers
done
without=$(median <"$CLUSTER_DIR/without")
with=$(median <"$CLUSTER_DIR/with")
echo "| p99 of an enqueue without viewers, median of $rounds | $without ms |"
echo "| p99 of an enqueue with $viewers viewers of the leader | $with ms |"
echo "| memory of a viewer | $((memory / viewers)) KiB |"
awk -v with="$with" -v without="$without" 'BEGIN { exit !(with <= 1.2 * without) }'
