#!/usr/bin/env bash
# Prints a software bill of materials (SBOM) of the programs as CycloneDX 1.5: the Debian packages
# of the shared libraries that they load, and of the header libraries in packages.txt. Vulnerability
# scanners read this format.
#
#   sbom.sh [BIN]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${1:-$here/../build/release/bin}

libraries() {
  ldd "$bin"/dqueue "$bin"/dqueue-cli "$bin"/dqueue-worker | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    xargs readlink -f
}

# The packages that own these files. Where /lib is a link to /usr/lib, dpkg may know either path.
owners() { sed 'p; s#^/usr##' | sort -u | { xargs dpkg-query -S 2>/dev/null || true; } | sed 's/:.*//' | sort -u; }
headers() { grep -E '^lib.*-dev$' "$here/packages.txt" | grep -vE 'benchmark|gmock|gtest'; }

{ libraries | owners; headers; } |
  xargs dpkg-query -W -f='${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n' |
  jq --raw-input --null-input --arg version "$("$bin/dqueue" --version)" '
  {bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
   metadata: {component: {type: "application", name: "dqueue", version: ($version | split(" ") | last), "bom-ref": "dqueue"}},
   components: [inputs | split("\t") | {
     type: "library", name: .[0], version: .[1],
     "bom-ref": .[0], purl: "pkg:deb/debian/\(.[0])@\(.[1] | @uri)?arch=\(.[2])&distro=debian-12",
     properties: [{name: "source", value: "\(.[3]) \(.[4])"}]}]}'
