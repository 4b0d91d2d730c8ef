#!/usr/bin/env bash
# Rules of the repository that a compiler does not check: include arrows between folders and rooms,
# file and folder sizes, README files, names. Prints each breach as "file:line: reason". Exit status
# 1: there is at least one.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# Allowed includes of each room, beside the room itself. A folder stands for all its rooms;
# "FOLDER/." stands for its own files only.
# There are no exceptions: an include that needs one belongs in another room.
declare -A may=(
  [base]=''
  [raft]='base'
  [storage/files]='base'
  [storage/log]='base raft storage/files'
  [storage/snapshots]='base raft storage/files'
  [storage/testing]='base raft storage'
  [queue/api]='base proto'
  [queue/state]='base raft proto queue/api'
  [queue/broker/reports]='base raft proto queue/api queue/state'
  [queue/broker/leases]='base raft proto queue/api queue/state queue/broker/. queue/broker/reports'
  [queue/broker/commands]='base raft proto queue/api queue/state queue/broker/.
    queue/broker/leases queue/broker/reports'
  [queue/broker/reads]='base raft proto queue/api queue/state queue/broker/.
    queue/broker/leases queue/broker/reports'
  [queue/broker]='base raft proto queue/api queue/state queue/broker'
  [node]='base raft storage queue proto'
  [transport/logging]='base'
  [transport/keys]='base queue/api proto transport/logging'
  [transport/listeners]='base queue/api proto transport/logging transport/keys'
  [transport/calls]='base raft queue node proto transport/logging transport/keys transport/listeners'
  [transport/peers]='base raft node proto transport/logging transport/listeners transport/calls'
  [transport/server]='base raft queue node proto transport/logging transport/keys
    transport/listeners transport/calls transport/peers'
  [transport/http/message]='base queue/api proto transport/keys transport/calls'
  [transport/http/server]='base queue/api transport/logging transport/keys transport/listeners
    transport/calls transport/http/message'
  [transport/http/routes]='base queue/api node proto transport/keys transport/calls
    transport/http/message transport/http/server'
  [transport/http]='base node transport/server transport/calls transport/http/message
    transport/http/server transport/http/routes'
  [transport/testing]='base queue node proto storage/files transport'
  [client]='proto'
  [cmd/flags]='base queue/api client transport/keys'
  [cmd/dqueue]='base cmd/flags transport node queue/api storage/files'
  [cmd/cli]='base cmd/flags client queue/api storage/log transport/keys'
  [cmd/worker]='base cmd/flags client queue/api'
  [cmd/cluster]='base client'
  [cmd/bench]='base cmd/flags cmd/cluster client'
  [cmd/chaos]='base cmd/flags cmd/cluster client'
  [cmd/hostile]='base cmd/flags cmd/cluster client proto transport/keys'
  [sim]='base node storage queue raft proto'
)
# Consensus is pure: no log, wire format, file, thread, or clock.
not_in_raft=' dqueue google grpc grpcpp spdlog fmt boost thread mutex shared_mutex atomic '
not_in_raft+='condition_variable future fstream filesystem unistd.h fcntl.h sys pthread.h '
not_in_raft+='ctime time.h random '
# The public headers of the SDK show none of these.
not_in_sdk=' grpc grpcpp google absl dqueue '
folders=' base raft storage queue node transport client cmd sim proto '

files_max=45
readme_lines_min=10
readme_lines_max=30

breaches=0
breach() {
  echo "$1: $2"
  breaches=$((breaches + 1))
}

# room_of PATH: sets `room` to the longest entry of `may` that contains PATH; empty if there is none.
declare -A room_cache=()
room_of() {
  local folder=${1%/*}
  if [[ -v room_cache[$folder] ]]; then
    room=${room_cache[$folder]}
    return
  fi
  room=$folder
  while [[ ! -v may[$room] ]]; do
    [[ $room == */* ]] || { room=''; break; }
    room=${room%/*}
  done
  room_cache[$folder]=$room
}

# within PATH LIST: PATH is in one of the folders of LIST.
within() {
  local path=$1 allowed
  for allowed in $2; do
    [[ $path == "$allowed"/* || ${path%/*}/. == "$allowed" ]] && return
  done
  return 1
}

# reachable ROOM: sets `reach` to the room and everything that it may include, also through others.
declare -A reach_cache=()
reachable() {
  if [[ -v reach_cache[$1] ]]; then
    reach=${reach_cache[$1]}
    return
  fi
  local -a queue=("$1")
  local -A seen=()
  local at other next
  while ((${#queue[@]} > 0)); do
    at=${queue[0]}
    queue=("${queue[@]:1}")
    [[ -v seen[$at] ]] && continue
    seen[$at]=1
    # A folder of rooms, or a room.
    for other in "${!may[@]}"; do
      [[ $other == "$at" || $other == "$at"/* || $at == "$other"/* ]] || continue
      for next in "$other" ${may[$other]}; do queue+=("${next%/.}"); done
    done
  done
  reach=${!seen[*]}
  reach_cache[$1]=$reach
}

# may_test ROOM TARGET: a test, benchmark or fixture of ROOM may include TARGET, which is what the
# room is linked with, and the fixtures of the folders around that.
may_test() {
  local target=$2 reach entry owner
  reachable "$1"
  if [[ $target != */testing/* ]]; then
    within "$target" "$reach"
    return
  fi
  owner=${target%%/testing/*}
  for entry in $reach; do
    [[ $entry == "$owner" || $entry == "$owner"/* || $owner == "$entry"/* ]] && return
  done
  return 1
}

is_test() { [[ $1 == *_test.cc || $1 == *_benchmark.cc || $1 == */testing/* || $1 == sim/* ]]; }

# check_include FILE LINE TARGET
check_include() {
  local file=$1 where=$1:$2 target=$3 owner=${3%%/*}
  if [[ /$target/ == */./* || /$target/ == */../* ]]; then
    breach "$where" "$target is no path from the root"
    return
  fi
  if [[ $file =~ ^client/(client|worker|admin)\.h$ && $not_in_sdk == *" $owner "* ]]; then
    breach "$where" "a public header of the SDK includes $target"
    return
  fi
  if [[ $file == raft/* && $not_in_raft == *" $owner "* ]]; then
    breach "$where" "raft/ must build without $target"
    return
  fi
  [[ $target == dqueue/* || $target == google/rpc/* ]] && target=proto/$target owner=proto
  [[ $target == */* && $folders == *" $owner "* ]] || return 0
  local room own
  room_of "$file"
  own=$room
  if is_test "$file"; then
    may_test "$own" "$target" || breach "$where" "a test of $own/ must not include $3"
    return
  fi
  if [[ $target == */testing/* ]]; then
    breach "$where" "product code must not include $3"
    return
  fi
  room_of "$target"
  [[ $room == "$own" ]] && return
  within "$target" "${may[$own]}" || breach "$where" "$own/ must not include $3"
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

# check_folder FOLDER FILES: FILES is how many files it holds, without its subfolders.
check_folder() {
  local folder=$1 count=$2 lines
  ((count <= files_max)) || breach "$folder" "$count files; at most $files_max"
  if [[ ! -f $folder/README.md ]]; then
    breach "$folder" "has no README.md"
    return
  fi
  lines=$(wc -l <"$folder/README.md")
  ((lines >= readme_lines_min && lines <= readme_lines_max)) ||
    breach "$folder/README.md:$lines" "$lines lines; $readme_lines_min to $readme_lines_max"
}

mapfile -t files < <(find .ci base raft storage queue node transport client cmd sim proto scripts \
  cmake deploy docs -name node_modules -prune -o -type f -print 2>/dev/null | sort)
texts=()
sources=()
declare -A counts=()
for file in "${files[@]}"; do
  folder=${file%/*}
  counts[$folder]=$((${counts[$folder]:-0} + 1))
  case $file in
    *.cc | *.h)
      texts+=("$file")
      room_of "$file"
      if [[ -n $room ]]; then
        sources+=("$file")
      elif [[ $folders == *" ${file%%/*} "* ]]; then
        breach "$file:1" "is in no room; the include arrows are in scripts/check-includes.sh"
      fi
      ;;
    *.proto | *.sh | *.cmake | *.md | *CMakeLists.txt | .ci/*) texts+=("$file") ;;
  esac
done

if ((${#sources[@]} > 0)); then
  while IFS=: read -r file line include; do
    include=${include#*[\"<]}
    check_include "$file" "$line" "${include%%[\">]*}"
  done < <(grep -HnE '^[[:space:]]*#[[:space:]]*include' "${sources[@]}" || true)
fi
if ((${#texts[@]} > 0)); then
  while read -r lines file; do
    [[ $file == total ]] || check_name "$file" "$lines"
  done < <(wc -l "${texts[@]}")
  # The marks are put together here so that this file does not hold them.
  while IFS=: read -r file line _; do
    breach "$file:$line" "something unfinished"
  done < <(grep -HnwE "TO""DO|FIX""ME|X""XX" "${texts[@]}" || true)
fi
for folder in "${!counts[@]}"; do
  # A folder with a single file explains itself; the folders in proto/ are package names.
  if ((${counts[$folder]} > 1)) && [[ $folder != proto/* ]]; then
    check_folder "$folder" "${counts[$folder]}"
  fi
done

if ((breaches > 0)); then
  echo "$breaches breaches"
  exit 1
fi
echo "no breaches"
