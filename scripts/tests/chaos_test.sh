#!/usr/bin/env bash
# Short runs of dqueue-chaos and of each mode of dqueue-bench. Argument: the directory of the
# programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
bin=$1
expect 0 'result: ZERO LOSS ✓' "$bin/dqueue-chaos" --duration 15s --kill-interval 4s --restart-after 1s
expect 0 '"lost":0.*"kills":2,.*"ok":true' "$bin/dqueue-chaos" --duration 6s --kill-interval 2s \
  --restart-after 500ms --rate 500 -o json
jobs=5000
[[ $(sanitized "$bin") != libtsan ]] || jobs=300
expect 0 '"mode":"failover"' "$bin/dqueue-bench" all --jobs "$jobs" --kills 2 -o json
expect 0 'e2e +1,000 ' "$bin/dqueue-bench" --cluster 1 --jobs 1000 --batch 64
finish
