#!/usr/bin/env bash
# The rules of the house that a compiler does not check: who may include whom, how long a file may
# be, and what must not be in it. Prints each breach as file:line: reason.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# Who may include whom, beside itself.
declare -A may=(
  [raft]=''
  [storage]='raft'
  [queue]='raft proto'
  [node]='raft storage queue proto'
  [transport]='node queue proto'
  [client]='proto'
  # Two more than the mains need: the offline commands read a log, and flags have the queue's limits.
  [cmd]='transport node client storage queue'
  [sim]='node storage queue raft proto'
)
folders=" ${!may[*]} proto "
# Open to all but client/, which is delivered alone.
open_to_all=' base/check.h base/string_seam.h '
# Consensus is pure: no log, no wire, no file, no thread, no clock but the one it is given.
not_in_raft=' dqueue google grpc grpcpp spdlog fmt boost thread mutex condition_variable future fstream filesystem unistd.h fcntl.h sys pthread.h '
# Public headers of the SDK have none of these.
not_in_sdk=' grpc grpcpp google absl dqueue '

breaches=0
breach() {
  echo "$1: $2"
  breaches=$((breaches + 1))
}

# check_include FILE LINE TARGET
check_include() {
  local file=$1 where=$1:$2 target=$3 folder=${1%%/*} owner=${3%%/*}
  if [[ $file =~ ^client/(client|worker|admin)\.h$ && $not_in_sdk == *" $owner "* ]]; then
    breach "$where" "a public header of the SDK includes $target"
    return
  fi
  if [[ $folder == raft && $not_in_raft == *" $owner "* ]]; then
    breach "$where" "raft/ must build without $target"
    return
  fi
  [[ $target == dqueue/* || $target == google/rpc/* ]] && owner=proto
  # Not ours, or the folder's own.
  [[ $target == */* && $folders == *" $owner "* && $owner != "$folder" ]] || return 0
  [[ $folder != client && $open_to_all == *" $target "* ]] && return
  # A test may run on a disk, in memory or real.
  [[ $file == *_test.cc && $target == storage/*file_system.h && $folder != raft ]] && return
  [[ " ${may[$folder]} " == *" $owner "* ]] || breach "$where" "$folder/ must not include $target"
}

# check_name FILE LINES
check_name() {
  local file=$1 lines=$2 limit=800 name=${1##*/}
  [[ $name == *_test.* ]] && limit=1500
  ((lines <= limit)) || breach "$file:$lines" "$lines lines; at most $limit"
  case ${name%%.*} in
    util | utils | *_util | *_utils | common | *_common | helper | helpers | *_helper | *_helpers | misc | *_misc)
      breach "$file:1" "a name that says nothing"
      ;;
  esac
}

mapfile -t files < <(find .ci raft storage queue node transport client cmd sim proto scripts cmake \
  deploy docs -type f \( -name '*.cc' -o -name '*.h' -o -name '*.proto' -o -name '*.sh' \
  -o -name '*.cmake' -o -name '*.md' -o -name CMakeLists.txt -o -path '.ci/*' \) 2>/dev/null | sort)
sources=()
for file in "${files[@]}"; do
  [[ $file == *.cc || $file == *.h ]] && [[ -v may[${file%%/*}] ]] && sources+=("$file")
done

if ((${#sources[@]} > 0)); then
  while IFS=: read -r file line include; do
    include=${include#*[\"<]}
    check_include "$file" "$line" "${include%%[\">]*}"
  done < <(grep -HnE '^[[:space:]]*#[[:space:]]*include' "${sources[@]}" || true)
fi
if ((${#files[@]} > 0)); then
  while read -r lines file; do
    [[ $file == total ]] || check_name "$file" "$lines"
  done < <(wc -l "${files[@]}")
  # The words are put together here so that this file does not hold them.
  while IFS=: read -r file line _; do
    breach "$file:$line" "something unfinished"
  done < <(grep -HnwE "TO""DO|FIX""ME|X""XX" "${files[@]}" || true)
fi
for folder in "${!may[@]}" proto scripts; do
  if [[ -d $folder && ! -f $folder/README.md ]]; then
    breach "$folder" "has no README.md"
  fi
done

if ((breaches > 0)); then
  echo "$breaches breaches"
  exit 1
fi
echo "no breaches"
