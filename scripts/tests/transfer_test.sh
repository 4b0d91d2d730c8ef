#!/usr/bin/env bash
# Leadership is moved ten times under load: no call fails, nothing is lost, and callers hardly notice.
# Argument: the programs' directory.
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
equal "$next" "$(cluster_wait_for_leader 20)" "who leads"
expect 0 "^n$next leads\$" cluster_cli transfer "n$next"
expect 4 'NOT_A_VOTER' cluster_cli transfer nobody
expect 0 '"leader_id": ?"n[123]"' cluster_cli transfer -o json
expect 2 'unexpected argument' cluster_cli transfer n1 n2

# The longest call of four producers around each of ten moves, in milliseconds. Of three runs the best counts:
# what a busy machine adds is not dqueue's.
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

# A target that is frozen does not take over, and the leader leads on.
leader=$(cluster_wait_for_leader 20)
target=$((leader % 3 + 1))
kill -STOP "${CLUSTER_PIDS[target]}"
expect 4 'TRANSFER_FAILED' cluster_cli transfer "n$target"
kill -CONT "${CLUSTER_PIDS[target]}"
expect 0 'created' cluster_cli enqueue --queue after --type t --count 10
finish
