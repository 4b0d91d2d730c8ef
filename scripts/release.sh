#!/usr/bin/env bash
# Makes a release of a build: a Debian package, an SBOM, the checksums of both, and a signature of
# the checksums.
#
#   release.sh --sign KEY [--out DIR] [--outdated] [BUILD]
#
#   KEY         an Ed25519 key in PEM: openssl genpkey -algorithm ed25519 -out release.key
#   DIR         the output directory, created if missing; default build/release-VERSION
#   BUILD       the build directory; default build/release
#   --outdated  proceed although Debian's security archive has a newer version of a library (scan.sh)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
key='' out='' outdated=''
usage() {
  sed -nE '2,/^set/{s/^# ?//p}' "${BASH_SOURCE[0]}" >&2
  exit 2
}
while (($# > 0)) && [[ $1 == -* ]]; do
  case $1 in
    --sign) key=${2:?a file}; shift ;;
    --out) out=${2:?a directory}; shift ;;
    --outdated) outdated=1 ;;
    *) usage ;;
  esac
  shift
done
if (($# > 1)) || [[ -z $key ]]; then usage; fi
[[ -r $key ]] || {
  echo "there is no key $key" >&2
  exit 2
}
# The directory changes below.
key=$(realpath "$key")
build=$(cd "${1:-$here/../build/release}" && pwd)
version=$("$build/bin/dqueue" --version | awk '{ print $2 }')
out=${out:-$here/../build/release-$version}

if ! "$here/scan.sh" "$build/bin" && [[ -z $outdated ]]; then
  echo "Debian's security archive has newer versions of these libraries:" \
    "upgrade this machine, test, and try again (or use --outdated)" >&2
  exit 1
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)
package=$(mktemp -d)
trap 'rm -rf "$package"' EXIT
(cd "$package" && cpack --config "$build/CPackConfig.cmake" -B "$package" >cpack.log 2>&1) || {
  cat "$package/cpack.log" >&2
  exit 1
}
mv "$package"/*.deb "$out"
"$here/sbom.sh" "$build/bin" >"$out/dqueue-$version.sbom.json"
cd "$out"
sha256sum -- *.deb *.sbom.json >SHA256SUMS
openssl pkeyutl -sign -rawin -inkey "$key" -in SHA256SUMS -out SHA256SUMS.sig
ls -l
