#!/usr/bin/env bash
# The rules of the house that a compiler does not know: who may include whom (docs/architecture.md), how long a file
# may be, what no file may hold. Prints each offence; exit status 1 if there is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

declare -A may=(
  [raft]="raft"
  [storage]="storage raft"
  [queue]="queue raft dqueue/v1 google/rpc"
  [node]="node raft storage queue dqueue/v1"
  [transport]="transport node queue raft storage dqueue/v1 google/rpc"
  [client]="client dqueue/v1 google/rpc"
  [cmd]="cmd transport node client storage raft queue"
  [sim]="sim node storage queue raft dqueue/v1 google/rpc"
)
offences=0
offence() {
  echo "$1" >&2
  offences=$((offences + 1))
}

files=$(find raft storage queue node transport client cmd sim \( -name '*.h' -o -name '*.cc' \) | sort)
while read -r file; do
  folder=${file%%/*}
  while IFS=: read -r line include; do
    path=$(sed 's/.*"\(.*\)".*/\1/' <<<"$include")
    allowed=
    for root in ${may[$folder]}; do [[ $path == "$root"/* ]] && allowed=yes; done
    # Tests of a folder may use the disk in memory.
    [[ $file == *_test.cc && $path == storage/fault_file_system.h ]] && allowed=yes
    case $path in
      grpcpp/* | google/protobuf/* | absl/* | spdlog/* | fmt/* | benchmark/* | gtest/* | gmock/*)
        [[ $folder != raft || $path == absl/* || $path == g[mt]*/* || $path == benchmark/* ]] && allowed=yes
        ;;
    esac
    [[ -n $allowed ]] || offence "$file:$line: $folder/ must not include $path"
  done < <(grep -n '^#include "' "$file" || true)
  if [[ $folder == raft && $file != *_test.cc && $file != */test_* ]]; then
    if grep -nE '#include <(grpc|google|spdlog|thread|mutex|fstream|sys/|unistd|random_device)' "$file" >&2; then
      offence "$file: raft/ has no file, socket, thread or log"
    fi
  fi
  lines=$(wc -l <"$file")
  limit=800
  [[ $file == *_test.cc ]] && limit=1500
  ((lines <= limit)) || offence "$file: $lines lines; at most $limit"
  [[ $(basename "$file") =~ ^(util|utils|common|helper|helpers|misc)[._] ]] && offence "$file: a junk drawer"
done <<<"$files"

# The words are split so that this file does not find itself.
if grep -rnIE '\b(TO''DO|FIX''ME|X''XX)\b' --include='*.cc' --include='*.h' --include='*.proto' --include='*.sh' \
  --include='*.txt' --include='*.md' raft storage queue node transport client cmd sim proto scripts docs >&2; then
  offence "something is left open"
fi
for folder in proto raft storage queue node transport client cmd sim scripts; do
  [[ -f $folder/README.md ]] || offence "$folder/ has no README.md"
done
((offences == 0)) && echo "the house is in order"
