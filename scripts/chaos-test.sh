#!/usr/bin/env bash
# Three real nodes under load; the leader is killed every 10 seconds for a minute; then every
# acknowledged job is looked for. Arguments go to dqueue-chaos: chaos-test.sh --duration 10m
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/programs.sh
source "$here/programs.sh"
require_programs ""
exec "$BIN/dqueue-chaos" --work-dir "${TMPDIR:-/tmp}" "$@"
