#!/usr/bin/env bash
# Tests /metrics of three nodes with promtool and a real Prometheus, the rules with promtool, and
# every query of the Grafana dashboard.
#
#   monitoring_test.sh BIN
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=$(cd "$here/.." && pwd)
bin=$(cd "${1:?the directory of the programs}" && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
# shellcheck source=scripts/prometheus.sh
source "$here/prometheus.sh"

end() {
  prometheus_end
  cluster_end
}
trap end EXIT
find_prometheus "$bin"

cd "$root/deploy/prometheus"
expect 0 'SUCCESS' "$promtool" check config prometheus.yml
expect 0 'SUCCESS' "$promtool" test rules alert_rules_test.yml

CLUSTER_HTTP=1
cluster_begin "$bin" 3
cluster_cli enqueue --queue q --type t --payload x >/dev/null
cluster_cli enqueue --queue 'other.queue' --type t --payload x >/dev/null

# metrics NODE
metrics() { curl -sS --max-time 10 "http://127.0.0.1:${CLUSTER_HTTP_PORTS[$1]}/metrics"; }
checked() { metrics "$1" | "$promtool" check metrics; }
for i in 1 2 3; do
  # Each node shows the job as soon as it has applied the entry.
  counted() { [[ $(metrics "$i") == *$'\ndqueue_jobs_enqueued_total{queue="q"} 1\n'* ]]; }
  eventually 20 counted
  equal "" "$(checked "$i" 2>&1)" "output of promtool for node $i"
done
# Metrics of the leader only, and metrics of each node's process.
cluster_cli lease --queue q >/dev/null
leased() {
  local all
  all=$(for i in 1 2 3; do metrics "$i"; done)
  [[ $all == *$'\ndqueue_jobs_dispatched_total{queue="q"} 1\n'* ]]
}
eventually 20 leased
for i in 1 2 3; do
  [[ $(metrics "$i") =~ $'\n'dqueue_recovery_duration_seconds\ [0-9.e-]+$'\n' ]] || fail "node $i has no recovery time"
  equal "" "$(checked "$i" 2>&1)" "output of promtool for node $i after a lease"
done
leaders=$(for i in 1 2 3; do metrics "$i"; done | grep -c '^dqueue_raft_is_leader 1$')
equal 1 "$leaders" "leaders"

# finish_job QUEUE COMMAND…: leases a job and ends it with this command of dqueue-cli.
finish_job() {
  local id token
  read -r id token < <(cluster_cli lease --queue "$1" --wait 10s | awk 'NR == 2 { print $1, $2 }')
  cluster_cli "${@:2}" "$id" --token "$token" >/dev/null
}
# Jobs that succeed, fail and die, so that every metric has a value.
work() {
  cluster_cli enqueue --queue attempts --type t --payload x --count 3 >/dev/null
  finish_job attempts ack
  finish_job attempts nack --reason broken --delay 1h
  finish_job attempts nack --reject --reason broken
}

# A real Prometheus with the rules and shorter intervals.
prometheus_begin "$PWD"
eventually 30 shows 'sum(up{job="dqueue"})' 3
eventually 30 shows 'sum(max by (queue) (dqueue_jobs_enqueued_total))' 2
eventually 30 shows 'dqueue:queue_depth{queue="q"}' 1
eventually 30 shows 'sum(dqueue_job_wait_seconds_count{queue="q"})' 1
eventually 30 shows 'sum(dqueue_raft_is_leader)' 1
eventually 30 shows 'count(dqueue_log_sync_seconds_count > 0)' 3
eventually 30 shows 'count(ALERTS) or vector(0)' 0

# Every query of the dashboard has a value on this cluster, for one queue and for all queues.
work
sleep 2
work
dashboard=$root/deploy/grafana/dqueue.json
queries=0
answered() { [[ $(prometheus_query "$1") == '{"status":"success",'*'"result":[{'* ]]; }
while IFS= read -r query; do
  for queue in attempts '.*'; do
    eventually 20 answered "${query//\$queue/$queue}"
  done
  queries=$((queries + 1))
done < <(sed -nE 's/^ *"expr": "(.*)",?$/\1/p' "$dashboard" | sed 's/\\"/"/g' | grep -v '^ALERTS')
panels=$(grep -c '"type": "timeseries"' "$dashboard")
((queries >= panels && panels > 20)) || fail "$queries queries of $panels panels"
expect 0 'attempts' prometheus_query 'group by (queue) (dqueue_queue_depth)'
# Every metric of a node is used by the dashboard or a recording rule.
shown=$(cat "$dashboard" recording_rules.yml)
for metric in $(metrics 1 | sed -nE 's/^# TYPE ([a-z_]+) .*/\1/p'); do
  [[ $shown == *"$metric"* ]] || fail "the dashboard does not show $metric"
done

finish
