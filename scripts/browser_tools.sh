# shellcheck shell=bash
# To be sourced: finds or installs what drives a browser.
#
#   browser_tools DIRECTORY     # sets BROWSER_MODULES and CHROMIUM; fails if they cannot be had
#
# Debian's Chromium and Node.js (scripts/browser/packages.txt) are installed if they are missing; the
# modules of scripts/browser/package-lock.json go into DIRECTORY.

browser_tools() {
  local here tools=$1
  here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  if ! command -v chromium >/dev/null || ! command -v npm >/dev/null; then
    "$here/install-deps.sh" "$here/browser/packages.txt" || return 1
  fi
  mkdir -p "$tools"
  if ! cmp -s "$here/browser/package-lock.json" "$tools/package-lock.json" || [[ ! -d $tools/node_modules ]]; then
    cp "$here/browser/package.json" "$here/browser/package-lock.json" "$tools"
    (cd "$tools" && npm ci --no-audit --no-fund --loglevel=error --ignore-scripts) || {
      rm -f "$tools/package-lock.json"
      return 1
    }
  fi
  BROWSER_MODULES=$(cd "$tools" && pwd)
  CHROMIUM=$(command -v chromium)
  export BROWSER_MODULES CHROMIUM
}
