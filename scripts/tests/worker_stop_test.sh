#!/usr/bin/env bash
# Tests how dqueue-worker stops and what it says when it cannot work: signals, commands of several
# processes, a killed worker, orphans, servers that are down or refuse it. Argument: the directory of
# the programs.
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
key_file=$(mktemp)
cluster_begin_with_keys "$key_file" "$bin" 1
cli=cluster_cli
log=$CLUSTER_DIR/worker.err

# start_worker ARGS…
start_worker() {
  : >"$log"
  "$bin/dqueue-worker" --server "$CLUSTER_SERVERS" "$@" >"$CLUSTER_DIR/worker.out" 2>"$log" \
    </dev/null &
  worker=$!
}
# stop_worker [SIGNAL [STATUS]]: sends the signal and checks the exit status.
stop_worker() {
  local status=0
  kill "-${1:-TERM}" "$worker"
  wait "$worker" || status=$?
  worker=
  equal "${2:-0}" "$status" "exit status of the worker after ${1:-TERM}: $(<"$log")"
}
# lives PID: a process that is no zombie.
lives() { [[ $(ps -o stat= -p "$1" 2>/dev/null) == [^Z]* ]]; }
dead() { ! lives "$1"; }
# gone PID: not even a zombie.
gone() { [[ ! -e /proc/$1 ]]; }
# lines N: the log of the worker has so many.
lines() { (($(wc -l <"$log") == $1)); }
pids=$CLUSTER_DIR/pids
# A process that ignores SIGTERM and leaves its number in $pids.
stubborn="sh -c 'trap \"\" TERM; echo \$\$ >> $pids; sleep 100; :'"

# ---- Signals. SIGQUIT stops too. The others end nothing.
for signal in INT QUIT TERM; do
  start_worker --exec cat
  eventually 20 lines 1
  stop_worker "$signal"
done
start_worker --exec "touch $CLUSTER_DIR/started; sleep 1; echo done"
id=$($cli enqueue)
eventually 20 test -e "$CLUSTER_DIR/started"
for signal in HUP USR1 USR2 PIPE; do kill "-$signal" "$worker"; done
expect 0 'state: *SUCCEEDED' $cli wait "$id"
expect 0 "job $id succeeded after [1-9][0-9]*\.[0-9]{3} s" cat "$log"
stop_worker

# A signal at any moment after the begin of main() drains. Before that the process has done nothing,
# and its log is empty.
# Python waits for them: bash can mix up processes when their numbers come round again.
python3 - "$bin/dqueue-worker" "$CLUSTER_SERVERS" "$CLUSTER_DIR" <<'END' || fail "SIGTERM killed a worker"
import random, signal, subprocess, sys, time
program, servers, directory = sys.argv[1:]
early = 0
for _ in range(30):
    batch = []
    for i in range(10):
        with open(f"{directory}/drain.{i}", "w") as log:
            batch.append(subprocess.Popen([program, "--server", servers, "--exec", "cat"], stdin=subprocess.DEVNULL,
                                          stdout=subprocess.DEVNULL, stderr=log))
    time.sleep(random.uniform(0, 0.4))
    for worker in batch:
        worker.send_signal(signal.SIGTERM)
    for i, worker in enumerate(batch):
        status = worker.wait()
        if status == 0:
            continue
        with open(f"{directory}/drain.{i}") as log:
            said = log.read()
        if status != -signal.SIGTERM or said:
            sys.exit(f"exit status {status} after SIGTERM; log: {said}")
        early += 1
if early == 300:
    sys.exit("every signal came before main()")
END

# No thread takes a stop signal by itself: each has them blocked, but the one that waits for them.
start_worker --exec cat --concurrency 2
eventually 20 lines 1
sleep 0.5
for task in /proc/"$worker"/task/*; do
  [[ ${task##*/} == "$worker" ]] && continue
  blocked=$((16#$(awk '$1 == "SigBlk:" { print $2 }' "$task/status")))
  ((blocked >> 14 & 1)) || fail "a thread has SIGTERM not blocked: $(<"$task/comm")"
done
stop_worker

# ---- Commands of several processes. The shell ends by SIGTERM, the rest only by SIGKILL.
rm -f "$pids"
id=$($cli enqueue --max-retries 3)
start_worker --exec "$stubborn | timeout 50 $stubborn" --drain-limit 0s
eventually 20 sh -c "[ \$(wc -l <$pids) = 2 ]"
mapfile -t left <"$pids"
stop_worker
for pid in "${left[@]}"; do dead "$pid" || fail "a process of a stopped command lives on"; done
expect 0 'state: *READY' $cli get "$id"

# A killed worker, also one that is ended by a second signal.
for how in "KILL 137" "second 143"; do
  rm -f "$pids"
  start_worker --exec "$stubborn | timeout 50 $stubborn" --lease-duration 1s
  eventually 20 sh -c "[ \$(wc -l <$pids) = 2 ]"
  mapfile -t left <"$pids"
  if [[ $how == second* ]]; then
    kill -TERM "$worker"
    eventually 10 grep -q draining "$log"
    stop_worker TERM 143
  else
    stop_worker KILL 137
  fi
  for pid in "${left[@]}"; do eventually 5 dead "$pid"; done
done
$cli cancel "$id" >/dev/null

# What a command leaves in the background goes on, and is collected when it ends.
rm -f "$pids"
start_worker --exec "(exec <&- >&- 2>&-; exec sleep 100) & echo \$! >> $pids"
id=$($cli enqueue)
expect 0 'SUCCEEDED' $cli wait "$id"
pid=$(<"$pids")
lives "$pid" || fail "the background process of a command that ended was killed"
kill -KILL "$pid"
eventually 10 gone "$pid"
stop_worker

# ---- The end of standard error is kept, whatever comes before it.
start_worker --exec "head -c 50000 /dev/zero | tr '\\0' '\\377' >&2; printf 'last words' >&2; exit 7"
id=$($cli enqueue --max-retries 0)
expect 8 'exit status 7: \[4[0-9]{4} bytes cut\] .*last words' $cli wait "$id"
stop_worker

# ---- A job's own lease duration.
start_worker --exec "sleep 3"
id=job-with-a-lease
echo "{\"id\":\"$id\",\"timeout_ms\":3600000}" >"$CLUSTER_DIR/job.jsonl"
$cli enqueue --file "$CLUSTER_DIR/job.jsonl" >/dev/null
is_leased() { $cli get "$id" | grep -q 'state: *LEASED'; }
eventually 20 is_leased
expect 0 '"lease_remaining_ms":3[56][0-9]{5}' $cli get "$id" -o json
expect 0 'SUCCEEDED' $cli wait "$id"
stop_worker

# ---- Signals of a node. SIGQUIT hands over as SIGTERM does.
for signal in HUP USR1 USR2 PIPE; do kill "-$signal" "${CLUSTER_PIDS[1]}"; done
eventually 10 grep -q 'SIGHUP: no TLS files to read' "$CLUSTER_DIR/n1.log"
expect 0 'total' cluster_cli stats
status=0
cluster_kill 1 QUIT || status=$?
equal 0 "$status" "exit status of a node after SIGQUIT"
grep -q 'SIGQUIT: transferring leadership' "$CLUSTER_DIR/n1.log" || fail "SIGQUIT did not hand over"
cluster_start 1
eventually 20 cluster_cli stats

# ---- Refusals: told, then the worker ends.
DQUEUE_API_KEY_FILE='' start_worker --exec cat
eventually 20 grep -q 'refused: .*KEY_MISSING.*--api-key-file' "$log"
status=0
wait "$worker" || status=$?
worker=
equal 6 "$status" "exit status of a worker without a key"
[[ $(grep -c " refused: " "$log") == 1 ]] || fail "not told once: $(<"$log")"

# ---- Nobody listens. Told at once, once, and the end of it.
start_worker --exec "touch $CLUSTER_DIR/held; sleep 1" --drain-limit 1s
eventually 20 lines 1
cluster_kill 1 || true
eventually 10 grep -q 'CONNECTION_REFUSED.*--server' "$log"
sleep 3
[[ $(grep -c CONNECTION_REFUSED "$log") == 1 ]] || fail "not told once: $(<"$log")"
# A connection that meets the end of the node is closed: one line more.
(($(wc -l <"$log") <= 3)) || fail "told too often: $(<"$log")"
cluster_start 1
eventually 20 grep -q 'the servers answer again, after' "$log"
rm -f "$CLUSTER_DIR/held"
id=$($cli enqueue)
eventually 20 test -e "$CLUSTER_DIR/held"
# The result cannot be reported. The worker stops within its limit all the same.
cluster_kill 1 || true
begin=$(date +%s%N)
stop_worker
took=$((($(date +%s%N) - begin) / 1000000))
((took < 2000)) || fail "stopping without a cluster took $took ms, not 1 s and at most one more"

# A command says so within a second, also one that waits.
begin=$(date +%s%N)
expect 5 '127.0.0.1:[0-9]*: connection refused: .*CONNECTION_REFUSED.*--server' cluster_cli stats
took=$((($(date +%s%N) - begin) / 1000000))
# 0.4 to 0.7 s on an idle machine; without this it is the 15 s of --timeout.
((took < 3000)) || fail "a command without a server took $took ms"
expect 5 'CONNECTION_REFUSED' timeout 10 "$bin/dqueue-cli" wait some-job --server "$CLUSTER_SERVERS"
rm -f "$key_file"
finish
