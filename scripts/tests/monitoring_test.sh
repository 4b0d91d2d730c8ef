#!/usr/bin/env bash
# /metrics of three nodes is what Prometheus wants, a real one scrapes it, and the alerts fire when they should.
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
  # Everywhere, as soon as it is applied there.
  counted() { [[ $(metrics "$i") == *$'\ndqueue_jobs_enqueued_total{queue="q"} 1\n'* ]]; }
  eventually 20 counted
  equal "" "$(checked "$i" 2>&1)" "what promtool says of node $i"
done
# What only the leader has seen, and what each node knows of itself.
cluster_cli lease --queue q >/dev/null
leased() {
  local all
  all=$(for i in 1 2 3; do metrics "$i"; done)
  [[ $all == *$'\ndqueue_jobs_dispatched_total{queue="q"} 1\n'* ]]
}
eventually 20 leased
for i in 1 2 3; do
  [[ $(metrics "$i") =~ $'\n'dqueue_recovery_duration_seconds\ [0-9.e-]+$'\n' ]] || fail "node $i has no time of recovery"
  equal "" "$(checked "$i" 2>&1)" "what promtool says of node $i after a lease"
done
leaders=$(for i in 1 2 3; do metrics "$i"; done | grep -c '^dqueue_raft_is_leader 1$')
equal 1 "$leaders" "leaders"

# Every kind of figure gets a value: jobs that succeed, fail, and die.
finish_job() {
  local id token
  read -r id token < <(cluster_cli lease --queue "$1" --wait 10s | awk 'NR == 2 { print $1, $2 }')
  cluster_cli "${@:2}" "$id" --token "$token" >/dev/null
}
work() {
  cluster_cli enqueue --queue attempts --type t --payload x --count 3 >/dev/null
  finish_job attempts ack
  finish_job attempts nack --reason broken --delay 1h
  finish_job attempts nack --reject --reason broken
}

# A real Prometheus, with the rules, and shorter intervals.
prometheus_begin "$PWD"
eventually 30 shows 'sum(up{job="dqueue"})' 3
eventually 30 shows 'sum(max by (queue) (dqueue_jobs_enqueued_total))' 2
eventually 30 shows 'dqueue:queue_depth{queue="q"}' 1
eventually 30 shows 'sum(dqueue_job_wait_seconds_count{queue="q"})' 1
eventually 30 shows 'sum(dqueue_raft_is_leader)' 1
eventually 30 shows 'count(dqueue_log_sync_seconds_count > 0)' 3
eventually 30 shows 'count(ALERTS) or vector(0)' 0

# Every query of the dashboard has a value on this cluster, for one queue and for all of them.
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
# Every metric of a node is shown somewhere.
shown=$(cat "$dashboard" recording_rules.yml)
for metric in $(metrics 1 | sed -nE 's/^# TYPE ([a-z_]+) .*/\1/p'); do
  [[ $shown == *"$metric"* ]] || fail "the dashboard does not show $metric"
done

finish
