#!/usr/bin/env bash
# Installs the missing packages of LIST (default: packages.txt). If none is missing, it changes
# nothing and needs neither root nor network.
#
#   install-deps.sh [LIST]
#
# A line of LIST is PACKAGE or "PACKAGE PROGRAM". With PROGRAM, the package is not needed if the
# program is on the PATH: Node.js from another source brings npm along, and excludes Debian's.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
list=${1:-$here/packages.txt}

if ! command -v dpkg-query >/dev/null; then
  echo "install-deps.sh: this is not a Debian-like system; install what $list lists" >&2
  exit 1
fi

missing=()
while read -r package program; do
  [[ -z $package || $package == \#* ]] && continue
  [[ -n $program ]] && command -v "$program" >/dev/null && continue
  state=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [[ $state == "install ok installed" ]] || missing+=("$package")
done <"$list"

if ((${#missing[@]} == 0)); then
  echo "all packages are installed"
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    echo "install-deps.sh: as root, run: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "installing ${missing[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  "${missing[@]}" >/dev/null
echo "installed"
