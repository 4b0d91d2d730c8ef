#!/usr/bin/env bash
# Tests that a node which is not part of its cluster says so: /ready, dqueue-cli status, the logs and
# the metrics. Argument: the directory of the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
bin=$1
trap cluster_end EXIT

CLUSTER_HTTP=1
cluster_begin "$bin" 3
ready() { curl -s -m 5 "http://127.0.0.1:${CLUSTER_HTTP_PORTS[$1]}/ready"; }
metric() { curl -s -m 5 "http://127.0.0.1:${CLUSTER_HTTP_PORTS[$1]}/metrics" | grep -E "^$2"; }
is_ready() { [[ $(ready "$1") == OK ]]; }
says() { ready "$1" | grep -qE "$2"; }
logged() { grep -qE "$2" "$CLUSTER_DIR/n$1.log"; }
for i in 1 2 3; do eventually 20 is_ready "$i"; done
expect 0 '' cluster_cli status
cluster_cli enqueue --type t --payload kept >/dev/null
leader=$(cluster_wait_for_leader 20)
odd=$((leader % 3 + 1))

# A member whose data directory was deleted.
cluster_kill "$odd" || true
rm -r "${CLUSTER_DIR:?}/n$odd"
cluster_start "$odd"
eventually 20 says "$odd" 'not part of the cluster: member n[123] knows this node with another data directory.*NOT_READY'
expect 4 "n$odd at .* is not part of the cluster: the members refuse it" cluster_cli status
expect 4 " excluded " cluster_cli status
logged "$odd" 'warn.*this node is not part of the cluster' || fail "n$odd does not log it"
eventually 10 logged "$leader" "warn.*messages of member n$odd are refused: its data directory is not the one"
equal 1 "$(grep -c "messages of member n$odd are refused" "$CLUSTER_DIR/n$leader.log")" "lines of the leader"
equal 'dqueue_node_excluded 1' "$(metric "$odd" 'dqueue_node_excluded 1')" "metric"
[[ $(metric "$leader" 'dqueue_peer_messages_refused_total.*reason="other_incarnation"') == *' '[1-9]* ]] || fail "the leader does not count it"
is_ready "$leader" || fail "the leader is not ready"

# A member that spells the addresses differently belongs to another cluster.
cluster_kill "$odd" || true
rm -r "${CLUSTER_DIR:?}/n$odd"
peers=$CLUSTER_PEERS
CLUSTER_PEERS=${peers//127.0.0.1/localhost}
cluster_start "$odd"
CLUSTER_PEERS=$peers
eventually 20 says "$odd" 'belongs to the cluster [0-9a-f]{32}.*correct --peers.*NOT_READY'
expect 4 'the nodes belong to 2 clusters: .*--peers must be the same' cluster_cli status
eventually 10 logged "$leader" "messages of member n$odd are refused: its data directory belongs to another cluster"

# A member whose data directory is replaced by an older copy, while the cluster runs. It stops, and
# does not start again.
other=$((6 - leader - odd))
cluster_kill "$other" TERM || true
cp -r "$CLUSTER_DIR/n$other" "$CLUSTER_DIR/copy"
cluster_start "$other"
eventually 20 is_ready "$other"
for ((i = 0; i < 10; i++)); do cluster_cli enqueue --type t >/dev/null; done
cluster_kill "$other" || true
rm -r "${CLUSTER_DIR:?}/n$other"
mv "$CLUSTER_DIR/copy" "$CLUSTER_DIR/n$other"
cluster_start "$other"
status=0
wait "${CLUSTER_PIDS[$other]}" || status=$?
equal 65 "$status" "exit status with an older copy"
logged "$other" 'is older than what this node has promised.*leave this node stopped' ||
  fail "n$other does not say why it stops"
cluster_start "$other"
status=0
wait "${CLUSTER_PIDS[$other]}" || status=$?
equal 65 "$status" "exit status of the next start"
CLUSTER_PIDS[$other]=

# The flag that used to lose jobs is refused.
expect 78 'refused: it can lose acknowledged jobs' "$bin/dqueue" --id x --recover=peers
finish
