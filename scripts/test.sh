#!/usr/bin/env bash
# Installs missing packages, builds everything and runs all tests. The last line of output is
# "N passed, N failed". The exit status is 0 only if every build and test succeeded.
#
#   scripts/test.sh                 the release build
#   scripts/test.sh --sanitizers    the release, asan and tsan builds
#   scripts/test.sh -- ARGS…        ARGS go to ctest (-L unit, -R name, …)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/.." && pwd)
cd "$root"

presets=(release)
while (($# > 0)); do
  case $1 in
    --sanitizers) presets=(release asan tsan) ;;
    --)
      shift
      break
      ;;
    *)
      echo "usage: test.sh [--sanitizers] [-- CTEST-ARGS…]" >&2
      exit 2
      ;;
  esac
  shift
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0
failed=0
status=0
# Prints the last line and exits.
report() {
  echo "$passed passed, $failed failed"
  exit "$status"
}

# run_preset PRESET [CTEST-ARGS…]
run_preset() {
  local preset=$1 code=0 total bad
  shift
  echo "== $preset: build"
  if ! cmake --preset "$preset" >"$log" 2>&1; then
    cat "$log"
    failed=$((failed + 1))
    status=1
    return
  fi
  if ! cmake --build --preset "$preset"; then
    failed=$((failed + 1))
    status=1
    return
  fi
  echo "== $preset: test"
  ctest --preset "$preset" "$@" 2>&1 | tee "$log" || code=$?
  # Parses "97% tests passed, 3 tests failed out of 100".
  read -r bad total < <(sed -nE \
    's/^[0-9]+% tests passed, ([0-9]+) tests? failed out of ([0-9]+)$/\1 \2/p' "$log") || true
  if [[ -z ${total:-} ]]; then
    echo "the output of ctest has no result line" >&2
    failed=$((failed + 1))
    status=1
    return
  fi
  passed=$((passed + total - bad))
  failed=$((failed + bad))
  ((code == 0)) || status=1
}

"$here/install-deps.sh" || {
  failed=1
  status=1
  report
}
# Debian's gRPC and Protobuf are not instrumented for the thread sanitizer.
export TSAN_OPTIONS="suppressions=$here/tsan.supp ${TSAN_OPTIONS:-}"
for preset in "${presets[@]}"; do run_preset "$preset" "$@"; done
report
