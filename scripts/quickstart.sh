#!/usr/bin/env bash
# Installs packages, builds, starts a node in the background, enqueues sample jobs and runs a worker
# until all jobs are done. Can be repeated: it first stops the node of an earlier run.
#
#   scripts/quickstart.sh           all steps
#   scripts/quickstart.sh --stop    only stops the node
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/.." && pwd)
# shellcheck source=scripts/programs.sh
source "$here/programs.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"

state=$root/data/quickstart
pid_file=$state/pid

# Stops the node of an earlier run, if the process with the recorded id is still that node.
stop_earlier() {
  [[ -f $pid_file ]] || return 0
  local pid
  pid=$(<"$pid_file")
  if [[ $pid =~ ^[0-9]+$ && -r /proc/$pid/cmdline ]] &&
    tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF -- "--data-dir=$state/node"; then
    echo "stopping the node of an earlier run, process $pid"
    kill -TERM "$pid"
    for ((i = 0; i < 300; i++)); do
      [[ -d /proc/$pid ]] || break
      sleep 0.1
    done
  fi
  rm -f "$pid_file"
}

# port_or_free PORT: prints PORT if it is unused, else another unused port.
port_or_free() {
  if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
    cluster_free_port
  else
    echo "$1"
  fi
}

case ${1:-} in
  '') ;;
  --stop)
    stop_earlier
    exit 0
    ;;
  *)
    echo "usage: quickstart.sh [--stop]" >&2
    exit 2
    ;;
esac

echo "== 1. Packages"
"$here/install-deps.sh"

echo "== 2. Build"
build_programs "$root"
require_programs "$root/build/release/bin"

echo "== 3. Start a node"
mkdir -p "$state"
stop_earlier
grpc=127.0.0.1:$(port_or_free 9090)
http=127.0.0.1:$(port_or_free 8080)
# In its own session, so that the node survives the end of this script and of its terminal.
setsid "$BIN/dqueue" --id=dev --bootstrap "--data-dir=$state/node" "--grpc-addr=$grpc" \
  "--http-addr=$http" </dev/null >"$state/log" 2>&1 &
pid=$!
echo "$pid" >"$pid_file"
export DQUEUE_SERVER=$grpc
ready=
for ((i = 0; i < 200; i++)); do
  if "$BIN/dqueue-cli" status --timeout 1s >/dev/null 2>&1; then
    ready=yes
    break
  fi
  kill -0 "$pid" 2>/dev/null || break
  sleep 0.1
done
if [[ -z $ready ]]; then
  echo "the node did not start; its log:" >&2
  cat "$state/log" >&2
  exit 1
fi

echo "== 4. Enqueue jobs"
first=$("$BIN/dqueue-cli" enqueue -type email -payload '{"to":"user@example.com"}')
"$BIN/dqueue-cli" enqueue --file "$here/sample-jobs.json"

echo "== 5. Run a worker"
"$BIN/dqueue-worker" --concurrency 4 &
worker=$!
"$BIN/dqueue-cli" wait "$first" >/dev/null
for ((i = 0; i < 300; i++)); do
  waiting=$("$BIN/dqueue-cli" stats | awk '$1 == "(total)" { print $3 + $4 }')
  [[ $waiting == 0 ]] && break
  sleep 0.1
done
kill -TERM "$worker"
wait "$worker"
"$BIN/dqueue-cli" stats
[[ $waiting == 0 ]]

cat <<END

A node runs in the background, process $pid:
  gRPC  $grpc
  HTTP  http://$http/health
  data  $state/node
  log   $state/log
Try:
  $BIN/dqueue-cli --server $grpc list
Stop it:
  $here/quickstart.sh --stop
END
