# shellcheck shell=bash
# Library: runs a real Prometheus that scrapes the nodes of cluster.sh. Source cluster.sh first.
#
#   find_prometheus BIN              # sets $promtool and $prometheus; exits with 77 if unavailable
#   prometheus_begin RULES-DIR       # scrapes and evaluates the rules of that directory every second
#   eventually 30 shows 'sum(up)' 3
#   prometheus_end

promtool=
prometheus=
PROMETHEUS_PORT=
PROMETHEUS_PID=

# The package is unpacked, not installed: installing it would start a server on port 9090, which is
# dqueue's default port.
find_prometheus() {
  local tools=$1/../tools
  if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
    promtool=promtool prometheus=prometheus
    return
  fi
  promtool=$tools/usr/bin/promtool prometheus=$tools/usr/bin/prometheus
  [[ -x $prometheus ]] && return
  mkdir -p "$tools"
  (
    cd "$tools"
    apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; } || {
      echo "skipped: the package of Prometheus is not available"
      exit 77
    }
    dpkg-deb -x prometheus_*.deb .
  ) || exit
}

# prometheus_begin RULES-DIR: starts Prometheus with the configuration of deploy/prometheus, the
# ports of the cluster and intervals of 1 s.
prometheus_begin() {
  local targets
  PROMETHEUS_PORT=$(cluster_free_port)
  targets=$(printf '"127.0.0.1:%s",' "${CLUSTER_HTTP_PORTS[@]}")
  sed -e 's/interval: 15s/interval: 1s/' -e "s/targets: .*/targets: [${targets%,}]/" \
    -e "s|- \(.*_rules.yml\)|- $1/\1|" \
    "$(dirname "${BASH_SOURCE[0]}")/../deploy/prometheus/prometheus.yml" >"$CLUSTER_DIR/prometheus.yml"
  "$prometheus" --config.file="$CLUSTER_DIR/prometheus.yml" --storage.tsdb.path="$CLUSTER_DIR/tsdb" \
    --web.listen-address="127.0.0.1:$PROMETHEUS_PORT" >"$CLUSTER_DIR/prometheus.log" 2>&1 &
  PROMETHEUS_PID=$!
}

prometheus_end() {
  [[ -z $PROMETHEUS_PID ]] || kill "$PROMETHEUS_PID" 2>/dev/null || true
  PROMETHEUS_PID=
}

# prometheus_query QUERY: prints the answer as JSON.
prometheus_query() {
  curl -sS --max-time 10 "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/query" --data-urlencode "query=$1" 2>/dev/null
}
# value QUERY: prints the value of the only sample.
value() { prometheus_query "$1" | sed -nE 's/.*"value":\[[0-9.]+,"([^"]*)"\]\}\]\}\}$/\1/p'; }
# shows QUERY VALUE: whether the only sample has this value.
shows() { [[ $(value "$1") == "$2" ]]; }
