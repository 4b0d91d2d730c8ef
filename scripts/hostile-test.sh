#!/usr/bin/env bash
# Runs three real nodes under a normal load, first alone and then for ten minutes beside 200 gRPC
# connections of authorised clients that make legal requests at their limits. Then checks the bounds
# of docs/architecture.md. Arguments go to dqueue-hostile: hostile-test.sh --duration 1m
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/programs.sh
source "$here/programs.sh"
require_programs ""
exec "$BIN/dqueue-hostile" --work-dir "${TMPDIR:-/tmp}" "$@"
