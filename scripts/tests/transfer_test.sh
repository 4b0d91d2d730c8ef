#!/usr/bin/env bash
# Moves leadership ten times under load: no call fails, no job is lost, and the p99 of the longest
# call around a move is at most 100 ms. Argument: the directory of the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
bin=$1
trap cluster_end EXIT
cluster_begin "$bin" 3

leader=$(cluster_leader)
next=$((leader % 3 + 1))
expect 0 "^n$next leads\$" cluster_cli transfer "n$next"
equal "$next" "$(cluster_wait_for_leader 20)" "the leader"
expect 0 "^n$next leads\$" cluster_cli transfer "n$next"
expect 4 'NOT_A_VOTER' cluster_cli transfer nobody
expect 0 '"leader_id": ?"n[123]"' cluster_cli transfer -o json
expect 2 'unexpected argument' cluster_cli transfer n1 n2

# The p99 over ten moves of the longest call of four producers, in milliseconds. The best of up to
# three runs counts, because a busy machine adds delays.
best=1000000
for _ in 1 2 3; do
  "$bin/dqueue-bench" transfer --transfers 10 --producers 4 --server "$CLUSTER_SERVERS" -o json >"$CLUSTER_DIR/bench" ||
    fail "a call failed, or a job was lost"
  longest=$(sed -nE 's/.*"p99_ms": ?([0-9]+).*/\1/p' "$CLUSTER_DIR/bench")
  echo "longest call around ten moves: $longest ms"
  ((longest >= best)) || best=$longest
  ((best > 100)) || break
done
((best <= 100)) || fail "p99 of the gap is $best ms, more than 100"

# A frozen target does not take over, and the old leader keeps working.
leader=$(cluster_wait_for_leader 20)
target=$((leader % 3 + 1))
kill -STOP "${CLUSTER_PIDS[target]}"
expect 4 'TRANSFER_FAILED' cluster_cli transfer "n$target"
kill -CONT "${CLUSTER_PIDS[target]}"
expect 0 'created' cluster_cli enqueue --queue after --type t --count 10
finish
