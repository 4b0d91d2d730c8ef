#!/usr/bin/env bash
# Runs three real nodes under load for a minute, kills the leader every 10 seconds, and then checks
# that no acknowledged job is lost. Arguments go to dqueue-chaos: chaos-test.sh --duration 10m
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/programs.sh
source "$here/programs.sh"
require_programs ""
exec "$BIN/dqueue-chaos" --work-dir "${TMPDIR:-/tmp}" "$@"
