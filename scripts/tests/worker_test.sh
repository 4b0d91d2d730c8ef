#!/usr/bin/env bash
# Tests dqueue-worker with commands that succeed, fail, reject, run long and get killed. Argument:
# the directory of the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
bin=$1
worker=
end() {
  local status=$?
  if [[ -n $worker ]]; then kill -KILL "$worker" 2>/dev/null || true; fi
  cluster_end "$status"
}
trap end EXIT
cluster_begin "$bin" 1
cli=cluster_cli

# start_worker ARGS…
start_worker() {
  "$bin/dqueue-worker" --server "$CLUSTER_SERVERS" "$@" >"$CLUSTER_DIR/worker.out" \
    2>"$CLUSTER_DIR/worker.err" </dev/null &
  worker=$!
}
# stop_worker: sends SIGTERM and checks that the exit status is 0.
stop_worker() {
  local status=0
  kill -TERM "$worker"
  wait "$worker" || status=$?
  worker=
  equal 0 "$status" "exit status of the worker"
}

# Results, environment, rejection, failure.
# shellcheck disable=SC2016 # for the command's shell
start_worker --queue a,b --concurrency 4 --worker-id w1 --exec '
  case $DQUEUE_TYPE in
    echo) cat ;;
    show) echo "$DQUEUE_JOB_ID $DQUEUE_QUEUE $DQUEUE_ATTEMPT $DQUEUE_WORKER_ID $DQUEUE_FENCE" ;;
    bad) echo "bad data" >&2; exit 100 ;;
    fail) echo "attempt $DQUEUE_ATTEMPT" >&2; exit 1 ;;
    killed) kill -9 $$ ;;
    deaf) exit 0 ;;
    loud) head -c 3000000 /dev/zero ;;
  esac'
id=$($cli enqueue --queue a --type echo --payload '{"x":1}')
expect 0 'result: *\{"x":1\}' $cli wait "$id"
id=$($cli enqueue --queue b --type show)
expect 0 "result: *$id b 1 w1 [0-9a-f]{16}-[0-9a-f]{16}" $cli wait "$id"
id=$($cli enqueue --queue a --type bad --max-retries 5)
expect 8 'last error: *exit status 100: bad data' $cli wait "$id"
id=$($cli enqueue --queue a --type fail --max-retries 0)
expect 8 'last error: *exit status 1: attempt 1' $cli wait "$id"
id=$($cli enqueue --queue a --type killed --max-retries 0)
expect 8 'ended by signal 9' $cli wait "$id"
head -c 1000000 /dev/zero | tr '\0' x >"$CLUSTER_DIR/big"
id=$($cli enqueue --queue a --type deaf --payload @"$CLUSTER_DIR/big")
expect 0 'SUCCEEDED' $cli wait "$id"
id=$($cli enqueue --queue a --type loud)
expect 0 'SUCCEEDED' $cli wait "$id"
stop_worker

# --type: the worker leases only jobs of this type.
other=$($cli enqueue --queue a --type other)
id=$($cli enqueue --queue a --type mine --payload hello)
start_worker --queue a --type mine
expect 0 'SUCCEEDED' $cli wait "$id"
expect 0 'state: *READY' $cli get "$other"
stop_worker
grep -q "^$id queue=a type=mine attempt=1 payload=hello$" "$CLUSTER_DIR/worker.out" ||
  fail "the worker printed: $(cat "$CLUSTER_DIR/worker.out")"
$cli cancel "$other" >/dev/null

# A job that cannot be printed is not completed.
"$bin/dqueue-worker" --server "$CLUSTER_SERVERS" --queue a >/dev/full 2>"$CLUSTER_DIR/worker.err" </dev/null &
worker=$!
id=$($cli enqueue --queue a --type t --max-retries 0)
expect 8 'last error: *cannot write to standard output: No space left on device' $cli wait "$id"
stop_worker

# A command that runs longer than the lease keeps the job, because the worker extends the lease.
start_worker --queue a --lease-duration 1s --exec 'sleep 3; echo slept'
id=$($cli enqueue --queue a --type slow)
expect 0 'attempts: *1 delivered, 0 failed, 0 expired' $cli wait "$id"
stop_worker

# SIGTERM: running commands finish. A command that runs longer than --drain-limit is stopped, and
# its job is released without counting an attempt.
start_worker --queue a --exec "touch $CLUSTER_DIR/started; sleep 1; echo done"
id=$($cli enqueue --queue a --type t)
eventually 20 test -e "$CLUSTER_DIR/started"
stop_worker
expect 0 'state: *SUCCEEDED' $cli get "$id"
rm "$CLUSTER_DIR/started"
start_worker --queue a --drain-limit 500ms --exec "touch $CLUSTER_DIR/started; sleep 100"
id=$($cli enqueue --queue a --type t)
eventually 20 test -e "$CLUSTER_DIR/started"
stop_worker
expect 0 'state: *READY' $cli get "$id"
expect 0 ' 0 failed, 0 expired' $cli get "$id"
expect_sum
finish
