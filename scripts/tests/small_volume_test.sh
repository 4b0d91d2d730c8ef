#!/usr/bin/env bash
# Tests a node with default flags on a volume of 300 MB: it fills up, refuses new jobs and says why,
# and works again without a restart when the jobs are gone. Skipped if a tmpfs cannot be mounted.
#
#   small_volume_test.sh BIN
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$(cd "${1:?the directory of the programs}" && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"

volume=$(mktemp -d)
if ! mount -t tmpfs -o size=300000000 none "$volume" 2>/dev/null; then
  rmdir "$volume"
  echo "skipped: a tmpfs cannot be mounted here"
  exit 77
fi
end() {
  local status=$?
  cluster_end "$status" || true
  umount "$volume"
  rmdir "$volume"
  return "$status"
}
trap end EXIT

TMPDIR=$volume cluster_begin "$bin" 1
log=$CLUSTER_DIR/n1.log
logged() { grep -qE "$1" "$log"; }

# 8 KiB of payload for each job, in batches, until the disk is low.
head -c 6000 /dev/zero | base64 -w 0 >"$CLUSTER_DIR/payload"
for ((i = 0; i < 100; i++)); do
  jq -cn --rawfile p "$CLUSTER_DIR/payload" '{type: "t", queue: "big", payload: $p}'
done >"$CLUSTER_DIR/jobs"
code=0
for ((i = 0; i < 1000; i++)); do
  output=$(cluster_cli enqueue --file "$CLUSTER_DIR/jobs" 2>&1 >/dev/null) || code=$?
  ((code == 0)) || break
done
((code != 0)) || fail "the volume never was low"
[[ $output == *DISK_LOW* ]] || fail "enqueue failed otherwise: $output"
eventually 10 logged 'warn.*low disk space: [0-9]+ bytes are free in .*; new jobs need 3750[0-9]{4} \(--reserve-bytes\)'

# All jobs are removed. Completions and purges work on a low disk.
eventually 60 cluster_cli purge --queue big
again() { cluster_cli enqueue --queue small --type t; }
eventually 90 again
eventually 10 logged 'info.*enough disk space again'

# The compacted data survives a restart.
cluster_kill 1 TERM || true
cluster_start 1
cluster_wait_for_leader 20 >/dev/null
equal 0 "$(cluster_cli stats | awk '$1 == "big" { print $3 }')" "ready jobs after the purge"
eventually 10 again
finish
