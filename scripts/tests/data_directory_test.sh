#!/usr/bin/env bash
# Tests the errors of a node for unusable data directories. Argument: the directory of the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
bin=$1
trap cluster_end EXIT

cluster_begin "$bin" 1
port=${CLUSTER_PORTS[1]}
other_port=$(cluster_free_port)
dir=$CLUSTER_DIR
data=$dir/n1

# node ID DIR [FLAG…]: starts a node that should refuse to start. Ends it after 10 s.
node() {
  local id=$1 data_dir=$2
  shift 2
  timeout 10 "$bin/dqueue" --id "$id" --data-dir "$data_dir" --http-addr off \
    --grpc-addr "127.0.0.1:$other_port" "$@"
}

# The directory is in use.
expect 69 "in use.*${CLUSTER_PIDS[1]}" node n1 "$data"
expect 69 'in use' node other "$data"
expect 74 'grpc-addr.*(in use|bind|listen)' timeout 10 "$bin/dqueue" --id b --bootstrap \
  --data-dir "$dir/b" --http-addr off --grpc-addr "127.0.0.1:$port"
expect 74 'http-addr' timeout 10 "$bin/dqueue" --id b2 --bootstrap --data-dir "$dir/b2" \
  --grpc-addr "127.0.0.1:$other_port" --http-addr "127.0.0.1:$port"
expect 0 'intact' cluster_cli log verify "$data"

# Jobs survive a restart with the same command line.
id=$(cluster_cli enqueue --type t --payload kept)
status=0
cluster_kill 1 TERM || status=$?
equal 0 "$status" "exit status after SIGTERM"
expect 0 'shut down cleanly; intact' cluster_cli log verify "$data"
cluster_start 1
cluster_wait_for_leader 20 >/dev/null
expect 0 'payload: *kept' cluster_cli get "$id"
status=0
cluster_kill 1 KILL || status=$?
equal 137 "$status" "exit status after SIGKILL"
expect 0 'not shut down cleanly; intact' cluster_cli log verify "$data/wal"
expect 0 '^[^ ]' cluster_cli log dump "$data"

# The directory belongs to another node or another cluster, or is empty.
expect 78 '"n1".*"n2"|n2.*n1' node n2 "$data" --bootstrap
expect 78 'n1,n9|n9' node n1 "$data" --bootstrap \
  --peers "n1=127.0.0.1:$other_port,n9=127.0.0.1:1"
expect 78 'empty.*--bootstrap' node n1 "$dir/fresh"

# A node keeps trying to reach members that it cannot resolve. A signal ends it at once.
expect 124 'no connection to peer n2' timeout -s TERM -k 5 3 "$bin/dqueue" --id n1 --bootstrap \
  --data-dir "$dir/waiting" --http-addr off --grpc-addr "127.0.0.1:$other_port" --insecure \
  --peers "n1=127.0.0.1:$other_port,n2=no-such-host.invalid:1,n3=127.0.0.1:1"

# Errors of the system.
: >"$dir/file"
expect 74 'Not a directory|File exists|not a directory' node n1 "$dir/file" --bootstrap
expect 74 'Not a directory|not a directory' node n1 "$dir/file/below" --bootstrap
ln -s loop "$dir/loop"
expect 74 'symbolic links' node n1 "$dir/loop/x" --bootstrap
expect 74 'File name too long' node n1 "$dir/$(printf 'x%.0s' {1..300})" --bootstrap
expect 74 'No such file|Permission denied|Read-only' node n1 /proc/none --bootstrap

# Damage in the records of the first segment, which were acknowledged.
segment=$(find "$data/wal" -type f -size +0 | sort | head -n 1)
printf '\xff\xff\xff\xff' | dd of="$segment" bs=1 seek=4200 conv=notrunc status=none
code=0
output=$(cluster_cli log verify "$data" 2>&1) || code=$?
equal 9 "$code" "log verify of a damaged log ($output)"
[[ $output =~ $segment:[0-9]+: ]] || fail "log verify does not name file and offset: $output"
expect 65 "$(basename "$segment")" node n1 "$data"

# A segment of random bytes is refused.
mkdir -p "$dir/garbage/wal"
head -c 100000 /dev/urandom >"$dir/garbage/wal/$(basename "$segment")"
expect '65' '' node n1 "$dir/garbage" --bootstrap
CLUSTER_PIDS=()
finish
