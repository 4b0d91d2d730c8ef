#!/usr/bin/env bash
# Writes the part of docs/openapi.yaml that follows from the .proto files anew.
#
#   openapi.sh [--print BUILD]    --print: to standard output; BUILD: the build's directory
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
