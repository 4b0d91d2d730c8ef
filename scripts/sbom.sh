#!/usr/bin/env bash
# What the programs are made of, as CycloneDX 1.5 on standard output: the Debian packages of the
# libraries that they load, and of those whose headers are compiled in (packages.txt). To be given to
# a scanner of vulnerabilities.
#
#   sbom.sh [BIN]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${1:-$here/../build/release/bin}

libraries() {
  ldd "$bin"/dqueue "$bin"/dqueue-cli "$bin"/dqueue-worker | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    xargs readlink -f
}

# The packages that own these files; where /lib is a link to /usr/lib, dpkg knows either name.
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
