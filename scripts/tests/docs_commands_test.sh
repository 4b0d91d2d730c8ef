#!/usr/bin/env bash
# Runs every command of README.md, docs/ and deploy/ (docs_commands.py). A changed or broken command
# fails. Skipped (77) if this machine allows no namespaces.
#
#   docs_commands_test.sh BIN [DOCUMENT…]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/tests/assert.sh
source "$here/assert.sh"
bin=$(cd "${1:?the directory of the programs}" && pwd)
shift
isolate=(unshare --net --mount --pid --fork --kill-child --mount-proc)
((EUID == 0)) || isolate+=(--user --map-root-user)
if ! "${isolate[@]}" true 2>/dev/null; then
  echo "skipped: this machine allows no namespaces"
  exit 77
fi
run() { "${isolate[@]}" python3 "$here/docs_commands.py" "$bin" "$@"; }

# The test itself must be able to fail.
# edited STATUS REGEX DOCUMENT SCRIPT: runs a copy of the document that sed changed.
edited() {
  mkdir -p "$copy/$(dirname "$3")"
  sed -E "$4" "$here/../../$3" >"$copy/$3"
  DOCUMENTS=$copy expect "$1" "$2" run "$3"
}
# shown STATUS REGEX OUTPUT: a command with this output in the document. It prints "x", then a number.
shown() {
  printf '```console\n$ printf "x %%s\\n" $RANDOM\n%s\n```\n' "$3" >"$copy/SECURITY.md"
  DOCUMENTS=$copy expect "$1" "$2" run SECURITY.md
}
if (($# == 0)); then
  copy=$(mktemp -d)
  trap 'rm -rf "$copy"' EXIT
  edited 1 'FAILED: the commands of docs/api.md:15 \(127\)' docs/api.md '/^<!-- not run/d'
  edited 1 'FAILED: the commands of docs/security.md:[0-9]+ \(2\)' docs/security.md 's/key list; dqueue/key lists; dqueue/'
  edited 1 'FAILED: README.md:[0-9]+: a command in a block' README.md 's/^```$/```text/'
  edited 1 'FAILED: docs/api.md:[0-9]+: an indented block' docs/api.md 's/^grpcurl/    grpcurl/; /^```|^<!--/d'
  shown 1 'the output of printf .* is not as shown' 'y …'
  shown 0 'passed: 1 blocks ran' 'x …'
fi
run "$@"
finish
