# shellcheck shell=bash
# Library: the linter of docs/openapi.yaml.
#
#   openapi_tools DIRECTORY     # installs the modules there; fails if they are unavailable
#   redocly lint …
#   openapi_bundle FILE         # writes docs/openapi.yaml to FILE as one JSON document

# shellcheck source=scripts/node_modules.sh
source "$(dirname "${BASH_SOURCE[0]}")/node_modules.sh"

openapi_tools() {
  OPENAPI_SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
  OPENAPI_TOOLS=$1
  node_modules "$OPENAPI_SCRIPTS/openapi" "$OPENAPI_TOOLS"
}

redocly() {
  REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
    node "$OPENAPI_TOOLS/node_modules/@redocly/cli/bin/cli.js" "$@"
}

openapi_bundle() {
  local output
  output=$(redocly bundle "$OPENAPI_SCRIPTS/../docs/openapi.yaml" --output "$1" 2>&1) || {
    echo "$output" >&2
    return 1
  }
}
