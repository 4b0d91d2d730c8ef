#!/usr/bin/env bash
# Demonstration: kills the leader while jobs wait, and checks that the next leader has all jobs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/programs.sh
source "$here/programs.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"

jobs=${1:-1000}
[[ $jobs =~ ^[1-9][0-9]{0,6}$ ]] || {
  echo "usage: demo-failover.sh [JOBS]" >&2
  exit 2
}
say() { printf '\n== %s\n' "$*"; }
# total TITLE: prints a column of the total line of `dqueue-cli stats`.
total() {
  cluster_cli stats | awk -v title="$1" '
    NR == 1 { for (i = 1; i <= NF; i++) if ($i == title) column = i }
    $1 == "(total)" { print $column }'
}

require_programs ""
trap cluster_end EXIT

say "1. The leader"
cluster_begin "$BIN" 3
leader=$(cluster_leader)
cluster_cli status

say "2. Enqueue $jobs jobs"
cluster_cli enqueue --type demo --payload '{}' --count "$jobs"

say "3. kill -9 the leader, n$leader"
start=${EPOCHREALTIME/./}
cluster_kill "$leader" || true
cluster_cli enqueue --type demo --payload '{"after":"the kill"}' >/dev/null
end=${EPOCHREALTIME/./}
echo "the next enqueue was acknowledged after $(((end - start) / 1000)) ms"
cluster_cli status 2>/dev/null || true

say "4. No job is lost"
enqueued=$(total ENQUEUED)
echo "$enqueued of $((jobs + 1)) jobs"
[[ $enqueued == $((jobs + 1)) ]]

say "5. n$leader restarts and catches up; a worker completes all jobs"
cluster_start "$leader"
"$BIN/dqueue-worker" --server "$CLUSTER_SERVERS" --concurrency 16 --log-level warn >/dev/null &
worker=$!
until [[ $(total SUCCEEDED) == $((jobs + 1)) ]]; do sleep 0.2; done
kill -TERM "$worker"
wait "$worker"
cluster_cli status
cluster_cli stats

printf '\nresult: ZERO LOSS ✓\n'
