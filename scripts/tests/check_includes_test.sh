#!/usr/bin/env bash
# The house is in order, and check-includes.sh would see it if not.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"

expect 0 'no breaches' "$here/check-includes.sh"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/{scripts,raft,client,queue,cmd}
cp "$here/check-includes.sh" "$scratch/scripts/"
for folder in scripts raft client queue cmd; do : >"$scratch/$folder/README.md"; done
# breaks FILE TEXT REGEX: a tree with only this file in it is refused, for this reason.
breaks() {
  printf '%b\n' "$2" >"$scratch/$1"
  expect 1 "^$1:$3" "$scratch/scripts/check-includes.sh"
  rm "$scratch/$1"
}
expect 0 'no breaches' "$scratch/scripts/check-includes.sh"
breaks raft/a.cc '\n#include "storage/log/log.h"' '2: raft/ must not include storage/log/log.h'
breaks raft/a.cc '#include <spdlog/spdlog.h>' '1: raft/ must build without spdlog/spdlog.h'
breaks raft/a.cc '#include <google/protobuf/message.h>' '1: raft/ must build without google'
breaks raft/a.cc '#include <mutex>' '1: raft/ must build without mutex'
breaks client/a.cc '#include "base/check.h"' '1: client/ must not include base/check.h'
breaks queue/a.cc '#include "node/node.h"' '1: queue/ must not include node/node.h'
breaks cmd/a.cc '#include "sim/world.h"' '1: cmd/ must not include sim/world.h'
breaks client/client.h '#include <grpcpp/grpcpp.h>' '1: a public header of the SDK includes'
breaks queue/string_util.h '' '1: a name that says nothing'
breaks queue/a.h "// TO""DO" '1: something unfinished'
breaks queue/a.cc "$(printf '\\n%.0s' {1..800})" '801: 801 lines; at most 800'
printf '#include "base/check.h"\n#include "dqueue/v1/job.pb.h"\n' >"$scratch/queue/good.cc"
expect 0 'no breaches' "$scratch/scripts/check-includes.sh"
rm "$scratch/queue/README.md"
expect 1 '^queue: has no README.md' "$scratch/scripts/check-includes.sh"
finish
