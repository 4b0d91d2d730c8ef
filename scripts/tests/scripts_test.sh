#!/usr/bin/env bash
# Runs the demonstrations and other scripts. Argument: the directory of the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
export DQUEUE_BIN=$1
cd /
# Settings of the user change neither nodes nor commands.
export DQUEUE_TLS_CERT=/nowhere DQUEUE_SERVER=nowhere:1
expect 0 'state: +SUCCEEDED' "$here/demo-basic.sh"
expect 0 'result: ZERO LOSS ✓' "$here/demo-failover.sh" 500
expect 2 'usage:' "$here/demo-failover.sh" many
expect 2 'usage:' "$here/quickstart.sh" --help-me
expect 0 'all packages are installed' "$here/install-deps.sh"
expect 0 'result: ZERO LOSS ✓' "$here/chaos-test.sh" --duration 4s --kill-interval 2s --restart-after 500ms
finish
