#!/usr/bin/env bash
# Demonstration: the life of a job, on a new cluster of three nodes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/programs.sh
source "$here/programs.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"

say() { printf '\n== %s\n' "$*"; }
show() {
  printf '$ dqueue-cli %s\n' "$*"
  cluster_cli "$@"
}

require_programs ""
trap cluster_end EXIT

say "1. Start three nodes"
cluster_begin "$BIN" 3
show status

say "2. Enqueue"
id=$(cluster_cli enqueue -type email -payload '{"to":"user@example.com"}')
echo "enqueued $id: it is on disk on a majority of the nodes"
cluster_cli enqueue --type report --priority 10 --payload '{"month":"May"}' >/dev/null
cluster_cli enqueue --type email --delay 1h --payload '{"to":"later@example.com"}' >/dev/null
show list

say "3. The same idempotency key twice is one job"
first=$(cluster_cli enqueue --type email --idempotency-key welcome-7 --payload '{"to":"7"}')
second=$(cluster_cli enqueue --type email --idempotency-key welcome-7 --payload '{"to":"7"}' 2>/dev/null)
echo "first  $first"
echo "second $second"
[[ $first == "$second" ]]

say "4. A worker takes jobs, the higher priority first, and completes them"
"$BIN/dqueue-worker" --server "$CLUSTER_SERVERS" --log-level warn &
worker=$!
cluster_cli wait "$id" >/dev/null
cluster_cli wait "$first" >/dev/null
kill -TERM "$worker"
wait "$worker"
show get "$id"

say "5. A job that fails too often becomes dead and can be retried"
bad=$(cluster_cli enqueue --type broken --max-retries 1 --payload '{}')
for attempt in 1 2; do
  token=
  while [[ -z $token ]]; do
    token=$(cluster_cli lease --wait 5s 2>/dev/null | awk -v id="$bad" '$1 == id { print $2 }')
  done
  cluster_cli nack "$bad" --token "$token" --reason "database connection failed" --delay 0s >/dev/null
  echo "attempt $attempt failed"
done
show list --state dead
show retry "$bad"

say "6. Counts"
show stats
