#!/usr/bin/env bash
# Tests the dashboard in Chromium, on a cluster of three (scripts/browser/dashboard_test.mjs).
# Skipped (77) if the browser or its driver is unavailable.
#
#   browser_test.sh BIN
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$(cd "${1:?the directory of the programs}" && pwd)
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
# shellcheck source=scripts/browser_tools.sh
source "$here/browser_tools.sh"

if ! browser_tools "$bin/../tools/browser"; then
  echo "skipped: the browser or its driver is unavailable"
  exit 77
fi

keys=$(mktemp -d "${TMPDIR:-/tmp}/dqueue-keys-XXXXXX")
trap 'status=$?; rm -rf "$keys"; cluster_end $status' EXIT
CLUSTER_HTTP=1
cluster_begin_with_keys "$keys/admin" "$bin" 3
KEY=$(<"$keys/admin")
export KEY
NODES=$(printf ',http://127.0.0.1:%s' "${CLUSTER_HTTP_PORTS[@]}")
PIDS=$(printf ',%s' "${CLUSTER_PIDS[@]}")
export NODES=${NODES#,} PIDS=${PIDS#,}
node "$here/browser/dashboard_test.mjs"
