#!/usr/bin/env bash
# Injection test: sends hostile texts in every field of every call (injection/send.mjs). Answers
# must stay valid. No text may forge a line of the log or of the metrics, reach a terminal as a
# control character, or be interpreted by the dashboard (injection/pages.mjs). Skipped (77) if
# Node.js, its modules or the browser are unavailable.
#
#   injection_test.sh BIN
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$(cd "${1:?the directory of the programs}" && pwd)
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
# shellcheck source=scripts/browser_tools.sh
source "$here/browser_tools.sh"
# shellcheck source=scripts/openapi_tools.sh
source "$here/openapi_tools.sh"

if ! openapi_tools "$bin/../tools/openapi" || ! browser_tools "$bin/../tools/browser"; then
  echo "skipped: Node.js, a module or the browser is unavailable"
  exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/dqueue-injection-XXXXXX")
trap 'status=$?; rm -rf "$work"; cluster_end $status' EXIT
openapi_bundle "$work/openapi.json"

# none REGEX FILE MESSAGE: fails with the message if a line of the file matches.
none() {
  if LC_ALL=C grep -naP "$1" "$2" | head -n 5 | cut -c1-300 | cat -v | grep .; then
    echo "$3" >&2
    exit 1
  fi
}
control='[\x00-\x08\x0b-\x1f\x7f]'
time='\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z'

# round FORMAT: one round with this log format. Leaves the node running.
round() {
  local format=$1 log=$work/node.log port command
  CLUSTER_HTTP=1
  cluster_begin_with_keys "$work/admin" "$bin" 1 --log-level debug --log-format "$format"
  KEY=$(<"$work/admin")
  export KEY
  port=${CLUSTER_HTTP_PORTS[1]}
  node "$here/injection/send.mjs" "$work/openapi.json" "http://127.0.0.1:$port" >"$work/jobs"

  cp "$CLUSTER_DIR/n1.log" "$log"
  none "$control|\\t" "$log" "the log has control characters"
  none '^.{3000}' "$log" "the log has lines that are too long"
  if [[ $format == text ]]; then
    none "^(?!$time (debug|info |warn |error|fatal) )" "$log" "a text forged a line of the log"
    grep -q 'audit: CreateKey' "$log"
  else
    node -e '
      for (const line of require("fs").readFileSync(process.argv[1], "utf8").trimEnd().split("\n")) {
        const names = Object.keys(JSON.parse(line)).join();
        if (names !== "time,level,message") throw new Error(line);
      }' "$log"
  fi
  none '^2001-' "$log" "a text forged a line of the log"

  curl --silent --fail --header @<(printf 'Authorization: Bearer %s' "$KEY") "http://127.0.0.1:$port/metrics" >"$work/metrics"
  none "$control" "$work/metrics" "the metrics have control characters"
  none '^(?!# (HELP|TYPE) (dqueue|process)_|(dqueue|process)_|$)|^dqueue_forged' "$work/metrics" "a text forged a line of the metrics"

  for command in "list --full" "list --full -o json" "get shown-dead" "get shown-done -o json" "get shown-running" \
    "stats" "workers" "workers -o json" "key list --revoked" "key list --revoked -o json" "dead" "dead -o json"; do
    # shellcheck disable=SC2086
    cluster_cli $command >"$work/output" 2>&1 || { cat "$work/output"; echo "dqueue-cli $command failed" >&2; exit 1; }
    none "$control" "$work/output" "dqueue-cli $command writes control characters"
    none '\xc2[\x80-\x9f]' "$work/output" "dqueue-cli $command writes control characters"
    none '^(2001-|dqueue_forged)' "$work/output" "a text forged a line in the output of dqueue-cli $command"
  done
}

round json
cluster_end 0
round text
mapfile -t jobs <"$work/jobs"
export NODES=http://127.0.0.1:${CLUSTER_HTTP_PORTS[1]}
node "$here/injection/pages.mjs" "${jobs[@]}"
