#!/usr/bin/env bash
# Runs all measurements of docs/performance.md and writes that page. Takes about five minutes. Run
# nothing else on the machine meanwhile.
#
#   scripts/performance.sh [DIR]    DIR: the programs (default: the release build, built if missing)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/.." && pwd)
# shellcheck source=scripts/programs.sh
source "$here/programs.sh"
require_programs "${1:-}"
page=$root/docs/performance.md
draft=$(mktemp)
trap 'rm -f "$draft"' EXIT

# bench MODE FLAGS…: prints the run with the median rate of three, as a table row.
bench() {
  echo "dqueue-bench $*" >&2
  local i
  for i in 1 2 3; do "$BIN/dqueue-bench" "$@" | tail -n 1; done |
    awk '{ rate = $4; gsub(",", "", rate); print rate "\t" $0 }' | sort -n | sed -n 2p | cut -f 2- |
    awk -v command="$*" '{ printf "| `dqueue-bench %s` | %s | %s | %s | %s | %s | %s |\n",
                           command, $4, $5, $6, $7, $8, $9 }'
}

# kills: prints the failover times of twenty kills as table rows.
kills() {
  echo "dqueue-bench failover --kills 20" >&2
  "$BIN/dqueue-bench" failover --kills 20 | tail -n 1 |
    awk '{ printf "| p50 | %s ms |\n| p99 | %s ms |\n| slowest of 20 | %s ms |\n", $5, $6, $7 }'
}

# micro PROGRAM: prints the results of a Google Benchmark program as table rows.
micro() {
  echo "$1" >&2
  "$BIN/$1" --benchmark_min_time=0.2 2>/dev/null |
    awk '/^BM_|^[A-Z][A-Za-z]*\// { rate = ""; for (i = 7; i <= NF; i++) rate = rate " " $i
                    printf "| `%s` | %s %s |%s |\n", $1, $2, $3, rate }'
}

restart() {
  echo "restart with 1,000,000 waiting jobs" >&2
  "$here/measure-restart.sh" "$BIN"
}

{
  cat <<END
# Performance

\`scripts/performance.sh\` wrote this page on $(date -u +%F). Run it to measure your own machine.

Machine: $(nproc) cores ($(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo)),
$(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo) memory, kernel $(uname -r).

Three nodes **and** the load share these cores and one disk. An acknowledged change is synced to disk
on two of three nodes and applied. Payloads have 256 bytes. Each row is the run with the median rate
of three runs.

Rates vary by a factor of 1.3 to 1.8 between minutes on such a machine. So compare only figures that
were measured in the same minutes.

"CPU" is CPU seconds for a million jobs: of the three nodes together, and of the client.

## Through the whole system

| command | jobs/s | p50 ms | p99 ms | max ms | CPU nodes | CPU client |
|---|---|---|---|---|---|---|
END
  bench e2e --jobs 300000 --batch 1000
  bench batches --jobs 300000 --batch 1000
  bench drain --jobs 300000 --batch 1000
  bench enqueue --in-flight 64 --jobs 100000
  bench enqueue --in-flight 64 --jobs 30000 --no-gather
  bench enqueue --in-flight 1 --jobs 5000
  cat <<END

- \`e2e\` enqueues, leases and completes at the same time. Its latency is from the enqueue of a job to
  its acknowledged completion, with at most 20,000 jobs outstanding.
- \`batches\` only enqueues, and \`drain\` only leases and completes. Their latency is that of a call.
- \`enqueue\` enqueues one job per call. \`--in-flight 64\` uses 64 threads of one SDK client, which
  gathers their jobs into batches; with \`--no-gather\` it makes a call for each job.

Goals of this stage:

- \`e2e\`: 60,000 jobs/s
- one enqueue at a time: p50 of 0.6 ms. \`BM_AppendSynced\` below shows the share of the disk, which is
  larger when three nodes use it
- after the leader is killed: the next success within 1 s

## Leader killed

\`dqueue-bench failover --kills 20\` measures the time from \`kill -9\` of the leader to the next
acknowledged enqueue.

| | |
|---|---|
END
  kills
  cat <<END

## Restart

Three nodes with 1,000,000 waiting jobs of 256 bytes are killed and started again
(\`scripts/measure-restart.sh\`).

| | |
|---|---|
END
  restart
  cat <<END

## Single parts

These are Google Benchmark programs in \`build/release/bin\`. The time is that of one iteration.

| benchmark | time | counters |
|---|---|---|
END
  for program in "$BIN"/*_benchmark; do
    [[ -x $program ]] && micro "$(basename "$program")"
  done
  cat <<END

## The simulator

<!-- not run: takes long, and the figures differ between machines -->
\`\`\`
\$ dqueue-sim --seeds 1..300
$("$BIN/dqueue-sim" --seeds 1..300 | tail -n 1)
\`\`\`
END
} >"$draft"
mv "$draft" "$page"
trap - EXIT
echo "wrote $page" >&2
