#!/usr/bin/env bash
# docs/openapi.yaml: it is what the .proto files say, it passes a linter without a word, and a node's
# answers have no member that it does not describe (scripts/openapi/check.mjs). The linter is skipped
# (77) where Node.js or its modules cannot be had. That it has every route and no other is tested in
# transport/http/http_facade_test.cc.
#
#   openapi_test.sh BIN
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$(cd "${1:?the directory of the programs}" && pwd)
# shellcheck source=scripts/cluster.sh
source "$here/cluster.sh"
# shellcheck source=scripts/openapi_tools.sh
source "$here/openapi_tools.sh"

document=$here/../docs/openapi.yaml
if ! diff "$document" <("$here/openapi.sh" --print "$bin/.."); then
  echo "docs/openapi.yaml is not what the .proto files say: run scripts/openapi.sh" >&2
  exit 1
fi

if ! openapi_tools "$bin/../tools/openapi"; then
  echo "skipped: there is no linter to be had"
  exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/dqueue-openapi-XXXXXX")
trap 'status=$?; rm -rf "$work"; cluster_end $status' EXIT
# The messages of calls that have no body are there for check.mjs; a server's address is the reader's.
redocly lint --format=json --skip-rule=no-unused-components --skip-rule=no-server-example.com \
  "$document" >"$work/lint.json" 2>"$work/lint.log" || { cat "$work/lint.json" "$work/lint.log"; exit 1; }
openapi_bundle "$work/openapi.json"

CLUSTER_HTTP=1
cluster_begin "$bin" 1
node "$here/openapi/check.mjs" "$work/openapi.json" "$work/lint.json" "http://127.0.0.1:${CLUSTER_HTTP_PORTS[1]}"
