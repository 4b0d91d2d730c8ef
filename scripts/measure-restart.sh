#!/usr/bin/env bash
# Measures the time from the start of three nodes with many waiting jobs to the first answered read,
# and their memory.
#
#   scripts/measure-restart.sh [DIR [JOBS]]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/programs.sh
source "$here/programs.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
require_programs "${1:-}"
jobs=${2:-1000000}
trap cluster_end EXIT
cluster_begin "$BIN" 3
"$BIN/dqueue-bench" batches --server "$CLUSTER_SERVERS" --jobs "$jobs" --batch 1000 >/dev/null
memory=0
for i in 1 2 3; do
  rss=$(awk '/VmRSS/ { print int($2 / 1024) }' "/proc/${CLUSTER_PIDS[i]}/status")
  ((rss > memory)) && memory=$rss
done
for i in 1 2 3; do cluster_kill "$i" || true; done
begin=$(date +%s%N)
for i in 1 2 3; do cluster_start "$i"; done
until cluster_cli get --timeout 500ms no-such-job >/dev/null 2>&1 || (($? == 3)); do
  if (($(date +%s%N) - begin > 120000000000)); then
    echo "not serving after 120 s" >&2
    exit 1
  fi
  sleep 0.02
done
end=$(date +%s%N)
waiting=$(cluster_cli stats | awk '$1 == "(total)" { gsub(",", "", $3); print $3 }')
echo "| jobs waiting afterwards | $waiting |"
echo "| start to first answered read | $(((end - begin) / 1000000)) ms |"
echo "| largest memory of a node before | $memory MiB |"
