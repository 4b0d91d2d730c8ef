#!/usr/bin/env bash
# Tests a release: the contents of the package, and that the signature verifies only unchanged
# files. Skipped (77) for programs with a sanitizer. Argument: the directory of the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/tests/assert.sh"
bin=$(cd "$1" && pwd)
if [[ -n $(sanitized "$bin") ]]; then
  echo "skipped: programs with a sanitizer are not released"
  exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/dqueue-release-XXXXXX")
trap 'rm -rf "$work"' EXIT
openssl genpkey -algorithm ed25519 -out "$work/release.key" 2>/dev/null
openssl pkey -in "$work/release.key" -pubout -out "$work/release.pub"

expect 2 'usage|release.sh --sign KEY' "$here/release.sh"
expect 2 'there is no key /no/such' "$here/release.sh" --sign /no/such
# The paths are relative, as in docs/install.md.
(cd "$work" && "$here/release.sh" --sign release.key --out out --outdated "$bin/.." >log 2>&1) || fail "$(cat "$work/log")"

# ---- Verification, with the commands of docs/install.md.
cd "$work/out"
signed() { openssl pkeyutl -verify -pubin -inkey "$work/release.pub" -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig; }
expect 0 'Verified Successfully' signed
expect 0 'dqueue_.*deb: OK' sha256sum -c SHA256SUMS
package=$(ls -- *.deb)
cp "$package" "$work/good"
printf x >>"$package"
expect 1 'FAILED' sha256sum -c SHA256SUMS
sed -i 's/^./x/' SHA256SUMS
expect 1 'Failure' signed

# ---- Contents of the package.
dpkg-deb -x "$work/good" "$work/root"
dpkg-deb -e "$work/good" "$work/control"
expect 0 '^dqueue [0-9]' "$work/root/usr/bin/dqueue" --version
for program in dqueue dqueue-cli dqueue-worker dqueue-bench dqueue-chaos; do
  [[ -x $work/root/usr/bin/$program ]] || fail "$program is not in the package"
done
expect 0 'libgrpc\+\+.*libssl3' grep '^Depends:' "$work/control/control"
equal 600 "$(stat -c %a "$work/root/etc/dqueue/dqueue.env")" "mode of the settings"
equal /etc/dqueue/dqueue.env "$(cat "$work/control/conffiles")" "files that an upgrade does not replace"
grep -q '^ExecStart=/usr/bin/dqueue ' "$work/root/usr/lib/systemd/system/dqueue.service" || fail "the unit starts another program"
account=$(sed -n 's/^User=//p' "$work/root/usr/lib/systemd/system/dqueue.service")
expect 0 '' grep "^u $account " "$work/root/usr/lib/sysusers.d/dqueue.conf"
# dqueue knows every variable in the settings.
help=$("$bin/dqueue" --help)
while read -r variable; do
  [[ $help == *"$variable]"* ]] || fail "the settings have $variable, which dqueue does not know"
done < <(grep -oE '^#?DQUEUE_[A-Z_]+' "$work/root/etc/dqueue/dqueue.env" | tr -d '#')
# No path of the build machine is in the package.
if grep -rlF -- "$(cd "$here/.." && pwd)" "$work/root/etc" "$work/root/usr/lib"; then fail "a path of the build is in the package"; fi

# ---- scan.sh reports newer versions of libraries.
policy() {
  mkdir -p "$work/fake"
  printf '#!/bin/sh\ncat <<END\n%s\nEND\n' "$1" >"$work/fake/apt-cache"
  chmod +x "$work/fake/apt-cache"
}
scan() { PATH=$work/fake:$PATH "$here/scan.sh" "$bin"; }
policy 'x:
  Installed: 1
  Candidate: 1
  Version table:
 *** 1 500
        500 http://a.example/debian bookworm/main amd64 Packages'
expect 0 '^$' scan
policy 'x:
  Installed: 1
  Candidate: 2
  Version table:
     2 500
        500 http://a.example/debian bookworm/main amd64 Packages
 *** 1 100
        100 /var/lib/dpkg/status'
expect 0 '^x 1, 2 in bookworm/main' scan
policy 'x:
  Installed: 1
  Candidate: 3
  Version table:
     3 500
        500 http://a.example/debian-security bookworm-security/main amd64 Packages
     2 500
        500 http://a.example/debian bookworm/main amd64 Packages
 *** 1 100
        100 /var/lib/dpkg/status'
expect 1 '^x 1, 3 in bookworm-security/main' scan
PATH=$work/fake:$PATH expect 1 'upgrade this machine' "$here/release.sh" --sign "$work/release.key" --out "$work/none" "$bin/.."
[[ ! -e $work/none ]] || fail "release.sh made a release with outdated libraries"
finish
