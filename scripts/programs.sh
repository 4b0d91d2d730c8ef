# shellcheck shell=bash
# Library: finds the programs, or builds them.

# require_programs [DIR]: sets BIN to the directory of the programs: DIR, else $DQUEUE_BIN, else the
# release build of this checkout. Builds the release if programs are missing there.
require_programs() {
  local root
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  BIN=${1:-${DQUEUE_BIN:-}}
  if [[ -n $BIN ]]; then
    BIN=$(cd "$BIN" && pwd)
  else
    BIN=$root/build/release/bin
    if [[ ! -x $BIN/dqueue || ! -x $BIN/dqueue-cli || ! -x $BIN/dqueue-worker ||
      ! -x $BIN/dqueue-chaos || ! -x $BIN/dqueue-hostile ]]; then
      build_programs "$root"
    fi
  fi
  if [[ ! -x $BIN/dqueue ]]; then
    echo "there is no dqueue in $BIN" >&2
    return 1
  fi
}

# build_programs ROOT: configures and builds the release programs, without tests.
build_programs() {
  local root=$1
  echo "building the programs in $root/build/release" >&2
  (cd "$root" && cmake --preset release >/dev/null && cmake --build --preset release --target programs) >&2
}
