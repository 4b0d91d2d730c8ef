#!/usr/bin/env bash
# Runs many jobs in a row through three nodes with default settings, and requires that the memory of
# each node stays flat: at most 10 % above its memory after the first round.
#
#   scripts/soak.sh [DIR [ROUNDS [JOBS]]]     default: 20 rounds of 1,000,000 jobs
#
# DIR has the programs; see programs.sh. FLAGS in the environment are flags of the nodes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/programs.sh
source "$here/programs.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
require_programs "${1:-}"
rounds=${2:-20}
jobs=${3:-1000000}
trap cluster_end EXIT
read -ra flags <<<"${FLAGS-}"
cluster_begin "$BIN" 3 "${flags[@]}"

first=()
status=0
echo "| jobs | seconds | n1 MiB | n2 MiB | n3 MiB |"
echo "|---|---|---|---|---|"
for ((round = 1; round <= rounds; round++)); do
  begin=$SECONDS
  "$BIN/dqueue-bench" e2e --server "$CLUSTER_SERVERS" --jobs "$jobs" >/dev/null
  line="| $((round * jobs)) | $((SECONDS - begin)) |"
  for i in 1 2 3; do
    rss=$(awk '/VmRSS/ { print $2 }' "/proc/${CLUSTER_PIDS[i]}/status")
    line+=" $((rss / 1024)) |"
    [[ -n ${first[i]-} ]] || first[i]=$rss
    if ((rss * 10 > first[i] * 11)); then
      status=1
      line+=" more than 110 % of $((first[i] / 1024)) MiB |"
    fi
  done
  echo "$line"
done
exit "$status"
