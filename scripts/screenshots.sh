#!/usr/bin/env bash
# Takes screenshots of every screen of the dashboard on a cluster of three, into build/screenshots.
#
#   screenshots.sh [BIN]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/.." && pwd)
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
# shellcheck source=scripts/browser_tools.sh
source "$here/browser_tools.sh"
bin=${1:-$root/build/release/bin}

browser_tools "$root/build/tools/browser"
trap cluster_end EXIT
CLUSTER_HTTP=1
cluster_begin "$bin" 3
leader=$(cluster_leader)
export NODES=http://127.0.0.1:${CLUSTER_HTTP_PORTS[leader]}
export OUT=$root/build/screenshots
node "$here/browser/screenshots.mjs"
echo "the screenshots are in $OUT"
