#!/usr/bin/env bash
# A short run of dqueue-hostile: attacks beside a normal load. Argument: the directory of the
# programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
bin=$1
export DQUEUE_BIN=$bin

# Changes of leader, lost jobs and answers of /health are judged as in the long run. Latencies and
# turns have wider bounds: on a machine that runs other tests too, the scheduler alone exceeds those
# of the long run.
attacks=scans,statistics,reconnects,expired-leases,delayed-wave,http-pollers,http-pages,http-tasks
attacks+=,event-streams
expect 0 'result: STEADY ✓' "$here/hostile-test.sh" --duration 20s --alone 5s --enqueue-ratio 1000 \
  --enqueue-max 5s --health-max 1s --turn-max 1s --attacks "$attacks"

# A run that proves nothing is a failure.
expect 2 'unknown attack "scan"; there are get-job-flood' "$bin/dqueue-hostile" --attacks scan
expect 2 'server is required' "$bin/dqueue-hostile" attack
expect 1 'scans: no call was answered' "$bin/dqueue-hostile" attack --server 127.0.0.1:1 \
  --duration 1s --attacks scans
finish
