#!/usr/bin/env bash
# Installs packages, builds everything, runs all tests. The last line says how many passed and failed.
#
#   scripts/test.sh                 the release build
#   scripts/test.sh --sanitizers    then also the address+undefined and the thread sanitizer's
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."

presets=(release)
case ${1:-} in
  '') ;;
  --sanitizers) presets+=(asan tsan) ;;
  *)
    echo "usage: test.sh [--sanitizers]" >&2
    exit 2
    ;;
esac

passed=0
failed=0
# run_tests PRESET: builds and tests; adds to passed and failed.
run_tests() {
  local preset=$1 report
  echo "== $preset: build"
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" -j "$(nproc)"
  echo "== $preset: test"
  report=$PWD/build/$preset/tests.xml
  export TSAN_OPTIONS="suppressions=$here/tsan.supp"
  ctest --preset "$preset" --output-junit "$report" || true
  local tests failures
  tests=$(sed -n 's/^ *tests="\([0-9]*\)"$/\1/p' "$report" | head -n 1)
  failures=$(sed -n 's/^ *failures="\([0-9]*\)"$/\1/p' "$report" | head -n 1)
  passed=$((passed + tests - failures))
  failed=$((failed + failures))
}

"$here/install-deps.sh"
for preset in "${presets[@]}"; do run_tests "$preset"; done
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
