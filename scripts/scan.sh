#!/usr/bin/env bash
# Lists the libraries of the programs for which Debian has a newer version than this machine, as of
# the last `apt-get update`. A line has the package, both versions and the archive of the newer one.
# The exit status is 1 if a newer version is in the security archive.
#
#   scan.sh [BIN]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

"$here/sbom.sh" "$@" | jq -r '.components[].name' | xargs apt-cache policy | awk '
  function report() {
    if (installed != candidate) {
      print package, installed ", " candidate " in " origin
      if (origin ~ /security/) status = 1
    }
  }
  /^[^ ]/ {
    if (package != "") report()
    package = substr($1, 1, length($1) - 1)
    origin = "no archive"
    here = 0
  }
  $1 == "Installed:" { installed = $2 }
  $1 == "Candidate:" { candidate = $2 }
  # A line with a version; the lines after it name the archives with that version.
  /^ (   |\*\*\*) [^ ]+ [0-9]+$/ { here = $(NF - 1) == candidate; next }
  here && origin == "no archive" && $2 ~ /:/ { origin = $3 }
  END {
    report()
    exit status
  }'
