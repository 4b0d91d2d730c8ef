#!/usr/bin/env bash
# Every alert fires when a real cluster gets into its trouble. What would take minutes is cut short here: each `for`
# is a second and a waiting job is too old after 5 s. The times as they are written are alert_rules_test.yml's.
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
# fires ALERT: within a minute.
fires() {
  eventually 60 firing "$1"
  seen+=("$1")
  echo "fires: $1"
}
quiet() { shows 'count(ALERTS{alertstate="firing"}) or vector(0)' 0; }

# All is well.
eventually 30 shows 'sum(up{job="dqueue"})' 3
cluster_cli enqueue --queue dies --type t >/dev/null
eventually 30 shows 'max(dqueue_jobs_enqueued_total{queue="dies"})' 1
eventually 30 quiet

# A job dies, another one waits.
read -r id token < <(cluster_cli lease --queue dies --wait 10s | awk 'NR == 2 { print $1, $2 }')
cluster_cli nack "$id" --token "$token" --reject --reason broken >/dev/null
fires DqueueDeadLetters
cluster_cli enqueue --queue waits --type t >/dev/null
fires DqueueJobsWait

# The leader changes again and again.
for ((i = 0; i < 6; i++)); do cluster_cli transfer >/dev/null; done
fires DqueueLeaderFlaps

# A follower is frozen while many entries are written: one job a call, one call at a time.
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

# A disk that needs 150 ms.
cluster_kill "$follower" || true
# The address sanitizer's runtime does not start behind another library if it is not told to.
LD_PRELOAD=$slow_disk DQUEUE_SLOW_SYNC_MS=150 ASAN_OPTIONS=${ASAN_OPTIONS-}:verify_asan_link_order=0 \
  cluster_start "$follower"
for ((i = 0; i < 20; i++)); do cluster_cli enqueue --queue slow --type t >/dev/null; done
fires DqueueSlowDisk

# Disks without the room that is wanted.
CLUSTER_FLAGS=(--reserve-bytes 1024GiB)
for i in 1 2 3; do
  cluster_kill "$i" || true
  cluster_start "$i"
done
fires DqueueDiskLow

# Nobody is left to lead.
cluster_kill 1 || true
cluster_kill 2 || true
fires DqueueNoLeader

wanted=$(sed -nE 's/.*- alert: (.*)/\1/p' "$here/../deploy/prometheus/alert_rules.yml" | sort)
equal "$wanted" "$(printf '%s\n' "${seen[@]}" | sort)" "alerts that fired"
finish
