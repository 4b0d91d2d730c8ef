#!/usr/bin/env bash
# Runs ten thousand jobs through three nodes and two workers while the leader is killed twice.
# Argument: the directory of the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
bin=$1
workers=()
end() {
  local status=$? pid
  for pid in "${workers[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  cluster_end "$status"
}
trap end EXIT
cluster_begin "$bin" 3

# Whether all nodes answer and name the same leader.
agreed() {
  [[ $(cluster_cli status | awk 'NR > 1 { print $5 }' | sort | uniq -c | awk '{ print $1 }') == 3 ]]
}
eventually 20 agreed

seq 1 10000 | sed 's/.*/{"id":"job-&","type":"t","payload":{"n":&}}/' >"$CLUSTER_DIR/jobs"
expect 0 '^10,000 jobs: 10,000 created' cluster_cli enqueue --file "$CLUSTER_DIR/jobs"
# Each execution appends a line to a file.
for i in 1 2; do
  "$bin/dqueue-worker" --server "$CLUSTER_SERVERS" --concurrency 16 --log-level warn \
    --exec "echo \$DQUEUE_JOB_ID >>$CLUSTER_DIR/done-$i" >/dev/null 2>"$CLUSTER_DIR/worker-$i.err" &
  workers+=($!)
done

succeeded_at_least() { (($(count SUCCEEDED) >= $1)); }
for threshold in 2000 5000; do
  eventually 120 succeeded_at_least "$threshold"
  leader=$(cluster_wait_for_leader 20)
  cluster_kill "$leader" || true
  successor=$(cluster_wait_for_leader 20)
  [[ $successor != "$leader" ]] || fail "n$leader leads although it is dead"
  cluster_start "$leader"
done
eventually 240 succeeded_at_least 10000

equal 10000 "$(count SUCCEEDED)" "succeeded"
equal 10000 "$(count ENQUEUED)" "enqueued"
expect_sum
equal 10000 "$(sort -u "$CLUSTER_DIR"/done-* | wc -l)" "different jobs that were executed"
eventually 20 agreed
expect 0 'follower' cluster_cli status

for pid in "${workers[@]}"; do
  status=0
  kill -TERM "$pid"
  wait "$pid" || status=$?
  equal 0 "$status" "exit status of a worker"
done
workers=()

# A planned stop of the leader: leadership moves and no call fails.
leader=$(cluster_leader)
cluster_cli enqueue --queue moved --type t --count 20000 >"$CLUSTER_DIR/moved" &
enqueue=$!
status=0
cluster_kill "$leader" TERM || status=$?
equal 0 "$status" "exit status of a leader after SIGTERM"
wait "$enqueue" || fail "an enqueue failed while leadership moved: $(cat "$CLUSTER_DIR/moved")"
cluster_start "$leader"
equal 20000 "$(cluster_cli stats --queue moved | awk '$1 == "moved" { print $3 }')" "enqueued meanwhile"
eventually 20 agreed
finish
