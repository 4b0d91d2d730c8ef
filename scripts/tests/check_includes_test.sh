#!/usr/bin/env bash
# The tree keeps the layering rules, and check-includes.sh reports a tree that does not.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"

expect 0 'no breaches' "$here/check-includes.sh"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# readme FOLDER LINES
readme() {
  printf 'a line\n%.0s' $(seq "$2") >"$scratch/$1/README.md"
}
for folder in scripts raft raft/testing storage/log storage/testing queue/api queue/state \
  queue/broker queue/broker/leases client cmd/cli cmd/bench sim; do
  mkdir -p "$scratch/$folder"
  readme "$folder" 10
done
cp "$here/check-includes.sh" "$scratch/scripts/"
check=$scratch/scripts/check-includes.sh
expect 0 'no breaches' "$check"

# breaks FILE TEXT REGEX: a tree with this file in it is refused, for this reason.
breaks() {
  printf '%b\n' "$2" >"$scratch/$1"
  expect 1 "^$1:$3" "$check"
  rm "$scratch/$1"
}
# allows FILE TEXT: a tree with this file in it is accepted.
allows() {
  printf '%b\n' "$2" >"$scratch/$1"
  expect 0 'no breaches' "$check"
  rm "$scratch/$1"
}

# Folders.
breaks raft/a.cc '\n#include "storage/log/log.h"' '2: raft/ must not include storage/log/log.h'
breaks raft/a.cc '#include <spdlog/spdlog.h>' '1: raft/ must build without spdlog/spdlog.h'
breaks raft/a.cc '#include <google/protobuf/message.h>' '1: raft/ must build without google'
breaks raft/a.cc '#include <mutex>' '1: raft/ must build without mutex'
breaks raft/a.cc '#include <shared_mutex>' '1: raft/ must build without shared_mutex'
breaks raft/a.cc '#include "../node/node.h"' '1: ../node/node.h is no path from the root'
breaks raft/a_test.cc '#include "node/node.h"' '1: a test of raft/ must not include node/node.h'
breaks client/a.cc '#include "base/check.h"' '1: client/ must not include base/check.h'
breaks queue/api/a.cc '#include "node/node.h"' '1: queue/api/ must not include node/node.h'
breaks cmd/cli/a.cc '#include "sim/world.h"' '1: cmd/cli/ must not include sim/world.h'
breaks client/client.h '#include <grpcpp/grpcpp.h>' '1: a public header of the SDK includes'
allows queue/api/a.cc '#include "base/check.h"\n#include "dqueue/v1/job.pb.h"'
# Rooms inside a folder.
breaks queue/api/a.cc '#include "queue/state/b.h"' '1: queue/api/ must not include queue/state/b.h'
breaks queue/state/a.cc '#include "queue/broker/b.h"' '1: queue/state/ must not include'
breaks queue/state/a_test.cc '#include "queue/broker/b.h"' '1: a test of queue/state/ must not'
allows queue/broker/a.cc '#include "queue/state/b.h"\n#include "queue/api/c.h"'
breaks queue/broker/leases/a.cc '#include "queue/broker/commands/b.h"' \
  '1: queue/broker/leases/ must not include'
allows queue/broker/leases/a.cc '#include "queue/broker/b.h"'
breaks cmd/bench/a.cc '#include "cmd/cli/b.h"' '1: cmd/bench/ must not include cmd/cli/b.h'
breaks queue/a.cc '' '1: is in no room'
# Fixtures.
breaks storage/log/a.cc '#include "storage/testing/disk.h"' '1: product code must not include'
breaks raft/a.cc '#include "raft/testing/core.h"' '1: product code must not include'
breaks raft/a_test.cc '#include "storage/testing/disk.h"' '1: a test of raft/ must not include'
allows storage/log/a_test.cc '#include "storage/testing/disk.h"'
allows sim/a.cc '#include "storage/testing/disk.h"'
# A test is linked with what its room includes through others.
allows queue/broker/a_test.cc '#include "raft/raft.h"\n#include "queue/state/b.h"'
# Files and folders.
breaks queue/api/string_util.h '' '1: a name that says nothing'
breaks queue/api/a.h "// TO""DO" '1: something unfinished'
breaks queue/api/a.cc "$(printf '\\n%.0s' {1..800})" '801: 801 lines; at most 800'
for i in {1..45}; do : >"$scratch/queue/state/file$i.h"; done
expect 1 '^queue/state: 46 files; at most 45' "$check"
rm "$scratch"/queue/state/file*.h
touch "$scratch/queue/api/a.h"
rm "$scratch/queue/api/README.md"
allows queue/state/a.h ''
touch "$scratch/queue/api/b.h"
expect 1 '^queue/api: has no README.md' "$check"
for lines in 9 31; do
  readme queue/api $lines
  expect 1 "^queue/api/README.md:$lines: $lines lines; 10 to 30" "$check"
done
finish
