#!/usr/bin/env bash
# Tests that each alert fires on a real cluster with the problem that it reports. To save time each
# `for` is one second, and a waiting job is too old after 5 s.
# deploy/prometheus/alert_rules_test.yml tests the real times.
#
#   alerts_test.sh BIN
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$(cd "${1:?the directory of the programs}" && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
# shellcheck source=scripts/prometheus.sh
source "$here/prometheus.sh"
frozen=
end() {
  local status=$?
  [[ -z $frozen ]] || kill -CONT "$frozen" 2>/dev/null || true
  prometheus_end
  cluster_end "$status"
}
trap end EXIT
find_prometheus "$bin"
slow_disk=$bin/../tests/libslow_disk.so
[[ -f $slow_disk ]] || fail "$slow_disk is not built"

CLUSTER_HTTP=1
cluster_begin "$bin" 3
mkdir "$CLUSTER_DIR/rules"
cp "$here/../deploy/prometheus/recording_rules.yml" "$CLUSTER_DIR/rules/"
sed -e 's/for: .*/for: 1s/' -e 's/age_seconds) > 300/age_seconds) > 5/' "$here/../deploy/prometheus/alert_rules.yml" \
  >"$CLUSTER_DIR/rules/alert_rules.yml"
prometheus_begin "$CLUSTER_DIR/rules"

seen=()
firing() { [[ $(value "count(ALERTS{alertname=\"$1\",alertstate=\"firing\"})") -ge 1 ]]; }
# fires ALERT: waits up to a minute for it.
fires() {
  eventually 60 firing "$1"
  seen+=("$1")
  echo "fires: $1"
}
quiet() { shows 'count(ALERTS{alertstate="firing"}) or vector(0)' 0; }

# No alert fires on a healthy cluster.
eventually 30 shows 'sum(up{job="dqueue"})' 3
cluster_cli enqueue --queue dies --type t >/dev/null
eventually 30 shows 'max(dqueue_jobs_enqueued_total{queue="dies"})' 1
eventually 30 quiet

# A dead job, then a waiting job.
read -r id token < <(cluster_cli lease --queue dies --wait 10s | awk 'NR == 2 { print $1, $2 }')
cluster_cli nack "$id" --token "$token" --reject --reason broken >/dev/null
fires DqueueDeadLetters
cluster_cli enqueue --queue waits --type t >/dev/null
fires DqueueJobsWait

# Six changes of the leader.
for ((i = 0; i < 6; i++)); do cluster_cli transfer >/dev/null; done
fires DqueueLeaderFlaps

# A frozen follower while many entries are written: one job per call, one call at a time.
leader=$(cluster_wait_for_leader 20)
follower=$((leader % 3 + 1))
frozen=${CLUSTER_PIDS[follower]}
kill -STOP "$frozen"
fires DqueueNodeDown
fires DqueuePeerUnreachable
"$bin/dqueue-bench" enqueue --jobs 11000 --in-flight 1 --server "$CLUSTER_SERVERS" >/dev/null
fires DqueueFollowerLags
kill -CONT "$frozen"
frozen=

# A disk whose syncs take 150 ms.
cluster_kill "$follower" || true
# Without this option the address sanitizer refuses to start after another preloaded library.
LD_PRELOAD=$slow_disk DQUEUE_SLOW_SYNC_MS=150 ASAN_OPTIONS=${ASAN_OPTIONS-}:verify_asan_link_order=0 \
  cluster_start "$follower"
for ((i = 0; i < 20; i++)); do cluster_cli enqueue --queue slow --type t >/dev/null; done
fires DqueueSlowDisk

# More jobs than 60 % of --memory-limit holds.
CLUSTER_FLAGS=(--memory-limit 128MiB)
for i in 1 2 3; do
  cluster_kill "$i" || true
  cluster_start "$i"
done
head -c 900000 /dev/urandom >"$CLUSTER_DIR/large"
cluster_cli enqueue --queue large --type t --count 100 --payload "@$CLUSTER_DIR/large" --timeout 3s >/dev/null || true
fires DqueueMemoryLow

# Disks with less free space than --reserve-bytes.
CLUSTER_FLAGS=(--reserve-bytes 1024GiB)
for i in 1 2 3; do
  cluster_kill "$i" || true
  cluster_start "$i"
done
fires DqueueDiskLow

# No majority.
cluster_kill 1 || true
cluster_kill 2 || true
fires DqueueNoLeader

wanted=$(sed -nE 's/.*- alert: (.*)/\1/p' "$here/../deploy/prometheus/alert_rules.yml" | sort)
equal "$wanted" "$(printf '%s\n' "${seen[@]}" | sort)" "alerts that fired"
finish
