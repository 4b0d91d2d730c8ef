#!/usr/bin/env bash
# How the programs are built, what a running node leaves open to others, and what its unit lets it do. Argument: the
# programs' directory.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
bin=$1
trap cluster_end EXIT

# ---- The build: position independent, nothing writable that is executable, addresses resolved at the start and then
# read-only, guarded stacks and copies. A build with a sanitizer is for tests only, and has guards of its own.
programs=(dqueue dqueue-cli dqueue-worker dqueue-bench dqueue-chaos)
sanitizer=$(sanitized "$bin")
[[ -z $sanitizer ]] || programs=()
for program in "${programs[@]}"; do
  expect 0 'Type: +DYN \(Position-Independent' readelf -hW "$bin/$program"
  expect 0 'Flags:.* NOW.* PIE' readelf -dW "$bin/$program"
  expect 0 'GNU_RELRO' readelf -lW "$bin/$program"
  expect 0 'GNU_STACK.* RW  ' readelf -lW "$bin/$program"
  expect 1 '' grep -E 'LOAD .* RWE |RPATH|RUNPATH|TEXTREL' <(readelf -ldW "$bin/$program")
  symbols=$(readelf --dyn-syms -W "$bin/$program")
  [[ $symbols == *__stack_chk_fail* ]] || fail "$program has no guarded stacks"
  [[ $symbols =~ __[a-z]+_chk@ ]] || fail "$program has no guarded copies"
done
# With every call of the C++ library checked.
[[ -n $sanitizer ]] || expect 0 '__glibcxx_assert_fail' readelf --dyn-syms -W "$bin/dqueue"

# What they are made of: each library that is loaded, and Boost.Beast, of which there are headers only.
bill() { "$here/sbom.sh" "$bin" | jq -r '.components[] | .name + " " + .purl'; }
expect 0 'libgrpc\+\+1\.51 pkg:deb/debian/libgrpc\+\+1\.51@1\.51' bill
expect 0 'libboost1\.81-dev pkg:deb/debian/' bill

# ---- A running node, started by somebody who lets everybody read everything.
umask 000
ulimit -c unlimited 2>/dev/null || true
cluster_begin "$bin" 1
cluster_cli enqueue --count 100 --type t >/dev/null
pid=${CLUSTER_PIDS[1]}
data=$CLUSTER_DIR/n1
equal "" "$(find "$data" -type d ! -perm 0700)" "directories that others can enter"
equal "" "$(find "$data" -type f ! -perm 0600)" "files that others can read"
expect 0 'Max core file size +0 +0 ' cat "/proc/$pid/limits"
# Whatever it opened, and did not get from this shell, is closed in a program that it would start.
ours=$(readlink "/proc/$$/fd"/*)
inherited=$(for info in "/proc/$pid/fdinfo"/*; do
  fd=${info##*/}
  flags=$(awk '$1 == "flags:" { print $2 }' "$info" 2>/dev/null) || continue
  ((fd <= 2 || (8#$flags & 8#2000000))) && continue
  file=$(readlink "/proc/$pid/fd/$fd")
  [[ $ours == *"$file"* ]] || echo "$fd $file"
done)
equal "" "$inherited" "descriptors that a child would inherit"
expect 1 '' grep -a 'rwx' "/proc/$pid/maps"
cluster_kill 1 TERM

# A link in the place of a file is not followed.
start() {
  timeout 20 "$bin/dqueue" --id n1 --data-dir "$data" --http-addr off --grpc-addr "127.0.0.1:${CLUSTER_PORTS[1]}"
}
echo precious >"$CLUSTER_DIR/precious"
mv "$data/LOCK" "$CLUSTER_DIR/lock"
ln -s "$CLUSTER_DIR/precious" "$data/LOCK"
expect 74 'LOCK' start
rm "$data/LOCK"
segment=$(find "$data/wal" -type f | sort | head -n 1)
mv "$segment" "$CLUSTER_DIR/segment"
ln -s "$CLUSTER_DIR/segment" "$segment"
code=0
start >/dev/null 2>&1 || code=$?
((code == 65 || code == 74)) || fail "exit status $code with a link for a segment of the log"
equal precious "$(cat "$CLUSTER_DIR/precious")" "a file that a link points to"

# ---- The unit.
unit=$here/../deploy/systemd/dqueue.service
if command -v systemd-analyze >/dev/null; then
  exposure=$(systemd-analyze security --offline=true --no-pager "$unit" | sed -nE 's/.*exposure level.*: ([0-9.]+).*/\1/p')
  awk -v exposure="$exposure" 'BEGIN { exit !(exposure != "" && exposure <= 2.0) }' ||
    fail "systemd-analyze security says $exposure, more than 2.0"
else
  echo "skipped: there is no systemd-analyze"
fi
# Every flag in it is one of the program's.
help=$("$bin/dqueue" --help)
while read -r flag; do
  [[ $help == *"$flag "* ]] || fail "the unit gives $flag, which dqueue does not know"
done < <(sed -n 's/^ExecStart=//p' "$unit" | grep -oE -- '--[a-z-]+')
finish
