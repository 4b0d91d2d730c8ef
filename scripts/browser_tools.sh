# shellcheck shell=bash
# Library: finds or installs a browser and its driver.
#
#   browser_tools DIRECTORY     # sets BROWSER_MODULES and CHROMIUM; fails if they are unavailable
#
# Installs Debian's Chromium and Node.js (scripts/browser/packages.txt) if they are missing, and the
# modules of scripts/browser/package-lock.json into DIRECTORY.

# shellcheck source=scripts/node_modules.sh
source "$(dirname "${BASH_SOURCE[0]}")/node_modules.sh"

browser_tools() {
  local here tools=$1
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  if ! command -v chromium >/dev/null; then
    "$here/install-deps.sh" "$here/browser/packages.txt" || return 1
  fi
  node_modules "$here/browser" "$tools" || return 1
  BROWSER_MODULES=$(cd "$tools" && pwd)
  CHROMIUM=$(command -v chromium)
  export BROWSER_MODULES CHROMIUM
}
