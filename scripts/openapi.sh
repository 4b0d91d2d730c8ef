#!/usr/bin/env bash
# Regenerates the schemas in docs/openapi.yaml from the .proto files.
#
#   openapi.sh [--print] [BUILD]
#
#   --print  writes to standard output instead of docs/openapi.yaml
#   BUILD    the build directory, with openapi_messages built; default build/release
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
print=
if [[ ${1:-} == --print ]]; then
  print=1
  shift
fi
build=${1:-$root/build/release}
new=$("$build/tests/openapi_messages" "$build/scripts/service.descriptors" <"$root/docs/openapi.yaml")
if [[ -n $print ]]; then
  printf '%s\n' "$new"
else
  printf '%s\n' "$new" >"$root/docs/openapi.yaml"
fi
