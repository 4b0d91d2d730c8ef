#!/usr/bin/env bash
# Tests the hardening of the build, of a running node and of the systemd unit. Argument: the
# directory of the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
bin=$1
trap cluster_end EXIT

# ---- The build: position independent; no memory writable and executable; full RELRO; stack
# protector; fortified copies. Builds with a sanitizer are for tests only and are not checked.
programs=(dqueue dqueue-cli dqueue-worker dqueue-bench dqueue-chaos dqueue-hostile)
sanitizer=$(sanitized "$bin")
[[ -z $sanitizer ]] || programs=()
for program in "${programs[@]}"; do
  expect 0 'Type: +DYN \(Position-Independent' readelf -hW "$bin/$program"
  expect 0 'Flags:.* NOW.* PIE' readelf -dW "$bin/$program"
  expect 0 'GNU_RELRO' readelf -lW "$bin/$program"
  expect 0 'GNU_STACK.* RW  ' readelf -lW "$bin/$program"
  expect 1 '' grep -E 'LOAD .* RWE |RPATH|RUNPATH|TEXTREL' <(readelf -ldW "$bin/$program")
  symbols=$(readelf --dyn-syms -W "$bin/$program")
  [[ $symbols == *__stack_chk_fail* ]] || fail "$program has no stack protector"
  [[ $symbols =~ __[a-z]+_chk@ ]] || fail "$program has no fortified copies"
done
# _GLIBCXX_ASSERTIONS is on.
[[ -n $sanitizer ]] || expect 0 '__glibcxx_assert_fail' readelf --dyn-syms -W "$bin/dqueue"

# The SBOM has the loaded libraries, and Boost.Beast, which is headers only.
bill() { "$here/sbom.sh" "$bin" | jq -r '.components[] | .name + " " + .purl'; }
expect 0 'libgrpc\+\+1\.51 pkg:deb/debian/libgrpc\+\+1\.51@1\.51' bill
expect 0 'libboost1\.81-dev pkg:deb/debian/' bill

# ---- A running node, started with umask 000 and unlimited core files.
umask 000
ulimit -c unlimited 2>/dev/null || true
cluster_begin "$bin" 1
cluster_cli enqueue --count 100 --type t >/dev/null
pid=${CLUSTER_PIDS[1]}
data=$CLUSTER_DIR/n1
equal "" "$(find "$data" -type d ! -perm 0700)" "directories that others can enter"
equal "" "$(find "$data" -type f ! -perm 0600)" "files that others can read"
expect 0 'Max core file size +0 +0 ' cat "/proc/$pid/limits"
# Every descriptor that the node opened itself has the close-on-exec flag.
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

# The node does not follow a symbolic link in place of a file.
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
# dqueue knows every flag in the unit.
help=$("$bin/dqueue" --help)
while read -r flag; do
  [[ $help == *"$flag "* ]] || fail "the unit gives $flag, which dqueue does not know"
done < <(sed -n 's/^ExecStart=//p' "$unit" | grep -oE -- '--[a-z-]+')
finish
