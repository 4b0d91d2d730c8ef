#!/usr/bin/env bash
# /metrics of three nodes is what Prometheus wants, a real one scrapes it, and the alerts fire when they should.
#
#   monitoring_test.sh BIN
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/.." && pwd)
bin=$(cd "${1:?the directory of the programs}" && pwd)
# shellcheck source=scripts/assert.sh
source "$here/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"

# Prometheus is unpacked, not installed: its package would start a server, on dqueue's port. Where it cannot be had,
# the test is skipped.
find_prometheus() {
  local tools=$bin/../tools
  if command -v promtool && command -v prometheus; then
    promtool=promtool prometheus=prometheus
    return
  fi
  promtool=$tools/usr/bin/promtool prometheus=$tools/usr/bin/prometheus
  [[ -x $prometheus ]] && return
  mkdir -p "$tools"
  cd "$tools"
  apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; } || {
    echo "skipped: there is no package of Prometheus to be had"
    exit 77
  }
  dpkg-deb -x prometheus_*.deb .
}

scraper=
end() {
  [[ -z $scraper ]] || kill "$scraper" 2>/dev/null || true
  cluster_end
}
trap end EXIT
find_prometheus

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
leaders=$(for i in 1 2 3; do metrics "$i"; done | grep -c '^dqueue_raft_is_leader 1$')
equal 1 "$leaders" "leaders"

# A real Prometheus, with the rules, and shorter intervals.
port=$(cluster_free_port)
targets=$(printf '"127.0.0.1:%s",' "${CLUSTER_HTTP_PORTS[@]}")
sed -e 's/interval: 15s/interval: 1s/' -e "s/targets: .*/targets: [${targets%,}]/" \
  -e "s|- \(.*_rules.yml\)|- $PWD/\1|" prometheus.yml >"$CLUSTER_DIR/prometheus.yml"
"$prometheus" --config.file="$CLUSTER_DIR/prometheus.yml" --storage.tsdb.path="$CLUSTER_DIR/tsdb" \
  --web.listen-address="127.0.0.1:$port" >"$CLUSTER_DIR/prometheus.log" 2>&1 &
scraper=$!
# value QUERY: of the only sample.
value() {
  curl -sS --max-time 10 "http://127.0.0.1:$port/api/v1/query" --data-urlencode "query=$1" 2>/dev/null |
    sed -nE 's/.*"value":\[[0-9.]+,"([^"]*)"\]\}\]\}\}$/\1/p'
}
shows() { [[ $(value "$1") == "$2" ]]; }
eventually 30 shows 'sum(up{job="dqueue"})' 3
eventually 30 shows 'sum(max by (queue) (dqueue_jobs_enqueued_total))' 2
eventually 30 shows 'dqueue:queue_depth{queue="q"}' 1
eventually 30 shows 'sum(dqueue_raft_is_leader)' 1
eventually 30 shows 'count(dqueue_log_sync_seconds_count > 0)' 3
eventually 30 shows 'count(ALERTS) or vector(0)' 0

kill "$scraper"
scraper=
finish
