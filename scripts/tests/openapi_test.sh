#!/usr/bin/env bash
# Tests docs/openapi.yaml: its schemas match the .proto files, the linter gives no warning, and the
# answers of a node match it (scripts/openapi/check.mjs). The last two are skipped (77) if Node.js
# or its modules are unavailable. transport/http/http_facade_test.cc tests that it has exactly the
# routes of the server.
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
  echo "docs/openapi.yaml does not match the .proto files: run scripts/openapi.sh" >&2
  exit 1
fi

if ! openapi_tools "$bin/../tools/openapi"; then
  echo "skipped: the linter is unavailable"
  exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/dqueue-openapi-XXXXXX")
trap 'status=$?; rm -rf "$work"; cluster_end $status' EXIT
# no-unused-components: check.mjs needs the request messages of GET calls, which no route
# references. no-server-example.com: the address of the server is an example.
redocly lint --format=json --skip-rule=no-unused-components --skip-rule=no-server-example.com \
  "$document" >"$work/lint.json" 2>"$work/lint.log" || { cat "$work/lint.json" "$work/lint.log"; exit 1; }
openapi_bundle "$work/openapi.json"

CLUSTER_HTTP=1
cluster_begin "$bin" 1
node "$here/openapi/check.mjs" "$work/openapi.json" "$work/lint.json" "http://127.0.0.1:${CLUSTER_HTTP_PORTS[1]}"
